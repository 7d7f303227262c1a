"""What `jssl.fit` does before, around and after the loop."""
