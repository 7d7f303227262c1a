"""Pooling: of maps, and from the features of a backbone to one vector an image."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.layers.platforms import on_cpu

# One entry per output: a map (B, h, w, C), vectors (B, C), or a map and the class token (B, C).
Features = tuple[jax.Array | tuple[jax.Array, jax.Array], ...]


def pool_features(features: Features) -> jax.Array:
    """The class token of a backbone's last output, or the global average of its map.

    Args:
      features: the backbone's outputs; the last is a map (B, h, w, C), a pair of a map and a class
        token (B, C), or already (B, C).

    Returns:
      (B, C), averaged in at least float32.
    """
    last = features[-1]
    if isinstance(last, tuple):
        return last[1]
    if last.ndim == 2:
        return last
    return last.mean(axis=(1, 2), dtype=jnp.promote_types(last.dtype, jnp.float32))


def adaptive_average_pool(x: jax.Array, side: int) -> jax.Array:
    """Means over a grid of side x side cells, which overlap where the sides do not divide.

    Cell i of an axis of n entries covers those from floor(i n / side) to ceil((i + 1) n / side), as
    in PyTorch.

    Args:
      x: (B, h, w, C).
      side: of the result.

    Returns:
      (B, side, side, C), averaged in at least float32.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    rows, columns = (_cell_means(length, side) for length in x.shape[1:3])
    pooled = jnp.einsum('ih,jw,bhwc->bijc', rows, columns, wide, precision='highest')
    return pooled.astype(x.dtype)


def _cell_means(length: int, side: int) -> np.ndarray:
    """The matrix (side, length) that averages an axis over its cells."""
    means = np.zeros((side, length))
    for cell in range(side):
        start, stop = cell * length // side, -(-(cell + 1) * length // side)
        means[cell, start:stop] = 1 / (stop - start)
    return means


def max_pool(x: jax.Array, side: int, stride: int, padding: int) -> jax.Array:
    """Maxima over squares of an image; the gradient goes to the first of equal values.

    XLA's CPU backend takes many times as long for windows, and for their gradient, as for maxima of
    neighbouring columns and then of neighbouring rows.

    Args:
      x: (B, H, W, C).
      side: of the squares.
      stride: from one to the next.
      padding: on each border, with what is less than any value; at most half of `side`.

    Returns:
      (B, h, w, C).
    """
    window = {'strides': (stride, stride), 'padding': ((padding, padding),) * 2}
    plain = functools.partial(nn.max_pool, window_shape=(side, side), **window)
    slices = functools.partial(_max_of_slices, side=side, stride=stride, padding=padding)
    return on_cpu(slices, plain)(x)


def _max_of_slices(x: jax.Array, side: int, stride: int, padding: int) -> jax.Array:
    """Columns first: among equal values the first in the order of rows is then kept."""
    for axis in (2, 1):
        borders = [(padding * (other == axis),) * 2 for other in range(4)]
        padded = jnp.pad(x, borders, constant_values=-jnp.inf)
        stop = padded.shape[axis] - side + 1
        slices = [
            jax.lax.slice_in_dim(padded, start, start + stop, stride, axis) for start in range(side)
        ]
        x = functools.reduce(_first_max, slices)
    return x


def _first_max(a: jax.Array, b: jax.Array) -> jax.Array:
    """The larger of two, or NaN where one is; the first if they are equal, also for a gradient."""
    return jnp.where((a >= b) | jnp.isnan(a), a, b)
