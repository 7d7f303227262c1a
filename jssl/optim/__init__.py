"""Optimizers, schedules and parameter groups; usable alone with any optax loop."""
