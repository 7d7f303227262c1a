"""Masks of patches, or of cells of a coarse grid, each on its own."""

import math

import jax
import jax.numpy as jnp

from jssl.errors import JsslError


def random_masking(noise: jax.Array, keep: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Keep the patches with the least noise (He et al. 2022, arXiv 2111.06377, MAE).

    Args:
      noise: `(..., L)`, uniform in [0, 1), one number for each patch.
      keep: how many patches stay visible.

    Returns:
      `ids_keep`, int32 `(..., keep)`: the patches that stay, in order of their noise;
      `ids_restore`, int32 `(..., L)`: where each patch stands in that order;
      `mask`, bool `(..., L)`: True where a patch is removed.

    Raises:
      JsslError: `keep` is not between 1 and L.

    Examples:
      >>> keep, restore, mask = random_masking(jnp.array([0.3, 0.9, 0.1, 0.5]), keep=2)
      >>> print(keep, mask.astype(int))
      [2 0] [0 1 0 1]
    """
    length = noise.shape[-1]
    if not 1 <= keep <= length:
        raise JsslError(
            f'keep is {keep} of {length} patches; give at least 1 and at most {length}.'
        )
    order = jnp.argsort(noise, axis=-1).astype(jnp.int32)
    ids_restore = jnp.argsort(order, axis=-1).astype(jnp.int32)
    return order[..., :keep], ids_restore, ids_restore >= keep


def patch_mask(key: jax.Array, grid: int = 6, cell: int = 8, ratio: float = 0.6) -> jax.Array:
    """Mask random cells of a coarse grid (Xie et al. 2022, arXiv 2111.09886, SimMIM).

    Args:
      key: one typed key.
      grid: cells along each side.
      cell: tokens along each side of a cell.
      ratio: the part of the cells that is masked, rounded up to whole cells.

    Returns:
      Bool `(grid * cell, grid * cell)`: one entry for each token.

    Raises:
      JsslError: `ratio` is not between 0 and 1.

    Examples:
      >>> print(patch_mask(jax.random.key(0), grid=4, cell=1, ratio=0.5).sum())
      8
    """
    if not 0 <= ratio <= 1:
        raise JsslError(f'ratio is {ratio!r}; give a number between 0 and 1.')
    count = math.ceil(ratio * grid**2)
    cells = jax.random.permutation(key, grid**2) < count
    return jnp.repeat(jnp.repeat(cells.reshape(grid, grid), cell, axis=0), cell, axis=1)
