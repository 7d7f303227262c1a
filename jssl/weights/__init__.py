"""Arrays in files, and the names and layouts that they have there."""
