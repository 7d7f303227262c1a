"""What lies on disk of a run: its directory, checkpoints, metrics and progress."""
