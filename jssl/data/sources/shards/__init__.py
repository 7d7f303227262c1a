"""Tar files with many samples each: which ones there are, and where in them each image lies."""
