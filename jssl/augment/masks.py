"""Masks of masked image modelling: which patches of an image a model does not get to see.

Boolean with True for masked, drawn on the device with shapes that do not depend on the draw, for
one image; `jax.vmap` gives the batch.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jssl.errors import JsslError

BLOCK_ATTEMPTS = 32  # blocks drawn at once; the first that fits the mask so far is taken
BLOCK_ROUNDS = 256
LONGEST_ASPECT = 1 / 0.3


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

    Example:
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

    Example:
      >>> print(patch_mask(jax.random.key(0), grid=4, cell=1, ratio=0.5).sum())
      8
    """
    if not 0 <= ratio <= 1:
        raise JsslError(f'ratio is {ratio!r}; give a number between 0 and 1.')
    count = math.ceil(ratio * grid**2)
    cells = jax.random.permutation(key, grid**2) < count
    return jnp.repeat(jnp.repeat(cells.reshape(grid, grid), cell, axis=0), cell, axis=1)


def block_mask(key: jax.Array, grid: int = 14, count: int = 75, smallest: int = 16) -> jax.Array:
    """Mask rectangles until exactly `count` patches are masked.

    Bao, Dong, Piao, Wei, "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022, arXiv
    2106.08254, algorithm 1, with the limits of the reference, which CAE shares: a block's area is
    uniform between `smallest` and what is still missing, its aspect log-uniform in [0.3, 1/0.3];
    both sides are shorter than the grid; it must mask a new patch and no more than is missing.

    An attempt that fails changes nothing, so `BLOCK_ATTEMPTS` of them are judged at once and the
    first that succeeds is taken, which has the distribution of one after the other: 13 rounds for
    the longest of 50,000 masks instead of hundreds. Past `BLOCK_ROUNDS`, which only a count close
    to the whole grid comes near, single random patches fill up.

    Args:
      key: one typed key.
      grid: patches along each side, at least 2.
      count: patches to mask.
      smallest: least area of a block in patches.

    Returns:
      Bool `(grid, grid)`, True in `count` places.

    Raises:
      JsslError: `grid`, `count` or `smallest` is out of its range.

    Example:
      >>> print(block_mask(jax.random.key(0), grid=8, count=20, smallest=4).sum())
      20
    """
    _check_blocks(grid, count, smallest)
    loop_key, fill_key = jax.random.split(key)

    def unfinished(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        step, mask = carry
        return (step < BLOCK_ROUNDS) & (jnp.sum(mask) < count)

    def add(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        step, mask = carry
        return step + 1, _add_block(jax.random.fold_in(loop_key, step), mask, count, smallest)

    start = (jnp.zeros((), jnp.int32), jnp.zeros((grid, grid), bool))
    _, mask = lax.while_loop(unfinished, add, start)
    return _fill_up(fill_key, mask, count)


def _add_block(key: jax.Array, mask: jax.Array, count: int, smallest: int) -> jax.Array:
    """`mask` with the first block of `BLOCK_ATTEMPTS` that fits; `mask` itself if none does."""
    grid = mask.shape[0]
    missing = count - jnp.sum(mask)
    rows, columns, fits = _draw_blocks(key, grid, smallest, missing)
    # Small whole numbers: exact in whatever precision an accelerator multiplies them.
    new = jnp.einsum('nr,rc,nc->n', rows, 1.0 - mask, columns)
    fits &= (new > 0) & (new <= missing)
    first = jnp.argmax(fits)
    block = (rows[first][:, None] > 0) & (columns[first] > 0)
    return mask | (block & fits[first])


def _draw_blocks(
    key: jax.Array, grid: int, smallest: int, missing: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Blocks as indicators of rows and columns, float32 `(N, grid)`, and which fit the grid."""
    area, aspect, *place = jax.random.uniform(key, (4, BLOCK_ATTEMPTS), jnp.float32)
    area = smallest + area * (missing - smallest)  # the bounds may be reversed
    aspect = jnp.exp((2 * aspect - 1) * math.log(LONGEST_ASPECT))
    sides = jnp.round(jnp.sqrt(jnp.stack([area * aspect, area / aspect]))).astype(jnp.int32)
    fits = jnp.all(sides < grid, axis=0)
    space = grid - sides + 1
    first = jnp.minimum(jnp.floor(jnp.stack(place) * space).astype(jnp.int32), space - 1)
    index = jnp.arange(grid)
    inside = (index >= first[..., None]) & (index < (first + sides)[..., None])
    rows, columns = inside.astype(jnp.float32)
    return rows, columns, fits


def _fill_up(key: jax.Array, mask: jax.Array, count: int) -> jax.Array:
    """Mask random patches until there are `count`; the identity if there are already."""
    noise = jnp.where(mask, -1, jax.random.uniform(key, mask.shape, jnp.float32)).ravel()
    rank = jnp.argsort(jnp.argsort(noise))
    return (rank < count).reshape(mask.shape)


def _check_blocks(grid: int, count: int, smallest: int) -> None:
    if grid < 2:
        raise JsslError(f'grid is {grid}; give at least 2 patches along each side.')
    if not 0 < count <= grid**2:
        raise JsslError(
            f'count is {count} of {grid**2} patches; give at least 1 and at most {grid**2}.'
        )
    if not 0 < smallest < grid**2:
        raise JsslError(
            f'smallest is {smallest}; give a block of at least 1 and less than {grid**2} patches.'
        )
