"""Stages as Ray jobs of their own: what is asked for, what is there already, waiting and going on."""
