"""A trained network in use: loaded from a run or a file, asked for features, written to tables."""
