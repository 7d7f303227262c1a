"""Shuffling BN: which images share batch statistics is drawn anew at every step.

He et al. 2020, "Momentum Contrast", section 3.3. It matters only where batch norm works on groups
of the batch (`bn_group_size`); with statistics of the whole batch it would move images between
devices for nothing.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def has_grouped_norm(*modules: nn.Module) -> bool:
    """Whether any of `modules` takes its batch statistics over groups of the batch."""
    return any(getattr(module, 'bn_group_size', None) for module in modules)


def unshuffle(shuffled: Any, shuffle: jax.Array) -> Any:
    """Rows back in their order: row i of each array of `shuffled` belongs to place `shuffle[i]`."""
    inverse = jnp.argsort(shuffle)
    return jax.tree.map(lambda rows: rows[inverse], shuffled)
