"""Heads: projections -> logits or predictions, the inputs of a loss."""

from jssl.heads.contrastive import ContrastiveHead as ContrastiveHead
