"""One thin entry point per stage, and `nightly` for all of them in order."""
