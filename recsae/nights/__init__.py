"""What joins one night to the next: which latents are the same, what is taken over, what changed, what is served."""
