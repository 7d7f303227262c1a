"""Shuffling BN: which images share batch statistics is drawn anew at every step.

He et al. 2020, "Momentum Contrast", section 3.3. It matters only where batch norm works on groups
of the batch (`bn_group_size`); with statistics of the whole batch it would move images between
devices for nothing.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.layers.rows import split_rows


def has_grouped_norm(*modules: nn.Module) -> bool:
    """Whether any of `modules` takes its batch statistics over groups of the batch."""
    return any(getattr(module, 'bn_group_size', None) for module in modules)


def shuffled(images: jax.Array, shuffle: jax.Array) -> jax.Array:
    """Images in another order, split over the devices again.

    Left to itself, XLA has every device compute what follows for all of them.

    Args:
      images: (B, ...).
      shuffle: int (B,), which of them comes where.
    """
    return split_rows(images[shuffle])


def unshuffle(rows: Any, shuffle: jax.Array) -> Any:
    """Rows back in their order: row i of each array of `rows` belongs to place `shuffle[i]`."""
    inverse = jnp.argsort(shuffle)
    return jax.tree.map(lambda array: split_rows(array[inverse]), rows)
