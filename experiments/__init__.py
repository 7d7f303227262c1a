"""What produces the numbers of the documentation; no part of the installed package."""
