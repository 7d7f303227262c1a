"""Shuffling BN: which images share batch statistics is drawn anew at every step.

He et al. 2020, "Momentum Contrast", section 3.3. It matters only where batch norm works on groups
of the batch (`bn_group_size`); with statistics of the whole batch it would move images between
devices for nothing.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.layers.rows import row_parts, split_rows


def has_grouped_norm(*modules: nn.Module) -> bool:
    """Whether any of `modules` takes its batch statistics over groups of the batch."""
    return any(getattr(module, 'bn_group_size', None) for module in modules)


def draw_shuffle(rng: jax.Array, batch_size: int, *modules: nn.Module) -> jax.Array:
    """An order of a batch, in which no group of `modules` has the images of one in the batch.

    Each group is put into an order of its own, and then sends as many images to each of its
    neighbours, see `shuffled`. Where the numbers do not go into each other, all images are drawn
    from all.

    Returns:
      int (groups, images of each), the order within every group; (1, B) for one of all images.
    """
    sizes = [getattr(module, 'bn_group_size', None) or batch_size for module in modules]
    size = min(sizes)
    groups = batch_size // size
    fits = batch_size % size == 0 and max(size, groups) % min(size, groups) == 0
    shape = (groups, size) if fits else (1, batch_size)
    places = jnp.broadcast_to(jnp.arange(shape[1]), shape)
    return jax.random.permutation(rng, places, axis=1, independent=True)


def shuffled(images: jax.Array, shuffle: jax.Array) -> jax.Array:
    """Images in another order, split over the devices again.

    A device sends others what they need and no more, where none has a part of a group.

    Args:
      images: (B, ...).
      shuffle: of `draw_shuffle`.
    """
    if len(shuffle) % row_parts():
        return split_rows(images[_order(shuffle)])
    return split_rows(_exchanged(split_rows(_ordered(images, shuffle)), shuffle.shape))


def unshuffle(rows: Any, shuffle: jax.Array) -> Any:
    """Rows back in their order, each array of `rows`; undoes `shuffled`."""
    inverse = jnp.argsort(shuffle, axis=1)

    def back(array: jax.Array) -> jax.Array:
        if len(shuffle) % row_parts():
            return split_rows(array[jnp.argsort(_order(shuffle))])
        return split_rows(_ordered(split_rows(_exchanged(array, shuffle.shape)), inverse))

    return jax.tree.map(back, rows)


def _order(shuffle: jax.Array) -> jax.Array:
    """int (B,), which image of the batch comes where."""
    return _exchanged(_ordered(jnp.arange(shuffle.size), shuffle), shuffle.shape)


def _ordered(rows: jax.Array, orders: jax.Array) -> jax.Array:
    """Each group of rows in an order of its own."""
    groups = rows.reshape(*orders.shape, *rows.shape[1:])
    return jax.vmap(lambda group, order: group[order])(groups, orders).reshape(rows.shape)


def _exchanged(rows: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Each of `shape[0]` groups sends each of its neighbours as many of its `shape[1]` rows, and
    gets as many; twice is nothing."""
    side = min(shape)
    blocks = rows.reshape(-1, side, side, shape[1] // side, *rows.shape[1:])
    return blocks.swapaxes(1, 2).reshape(rows.shape)
