"""From the features of a backbone to one vector an image."""

import jax
import jax.numpy as jnp
import numpy as np

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
