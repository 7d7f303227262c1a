"""Data sets on disk: images shrunk once and stored in shards, and the embedded digits."""
