"""Which samples a step sees, in which order, and the batches that are made of them."""
