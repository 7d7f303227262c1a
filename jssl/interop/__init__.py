"""Weights and configs in and out of other libraries."""
