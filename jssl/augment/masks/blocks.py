"""Masks of rectangles until exactly so many patches are masked (BEiT, CAE, MaskFeat)."""

import jax
import jax.numpy as jnp
from jax import lax

from jssl.augment.masks.grid import check_grid
from jssl.augment.masks.rectangles import block_sides, block_spans, new_patches
from jssl.errors import JsslError

BLOCK_ATTEMPTS = 32  # blocks drawn at once; the first that fits the mask so far is taken
BLOCK_ROUNDS = 256


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

    Examples:
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
    return complete_mask(fill_key, mask, count)


def _add_block(key: jax.Array, mask: jax.Array, count: int, smallest: int) -> jax.Array:
    """`mask` with the first block of `BLOCK_ATTEMPTS` that fits; `mask` itself if none does."""
    grid = mask.shape[0]
    missing = count - jnp.sum(mask)
    area, aspect, *place = jax.random.uniform(key, (4, BLOCK_ATTEMPTS), jnp.float32)
    sides = block_sides(area, aspect, smallest, missing)
    rows, columns = block_spans(jnp.stack(place), sides, grid - sides + 1, grid)
    new = new_patches(mask, rows, columns)
    fits = jnp.all(sides < grid, axis=0) & (new > 0) & (new <= missing)
    first = jnp.argmax(fits)
    block = rows[first][:, None] & columns[first]
    return mask | (block & fits[first])


def complete_mask(key: jax.Array, mask: jax.Array, count: jax.Array | int) -> jax.Array:
    """Mask random patches until there are `count`; the identity if there are already.

    Args:
      key: one typed key.
      mask: bool (grid, grid).
      count: patches to mask, a scalar.

    Returns:
      Bool (grid, grid), True wherever `mask` is.

    Examples:
      >>> print(complete_mask(jax.random.key(0), jnp.eye(4, dtype=bool), 7).sum())
      7
    """
    noise = jnp.where(mask, -1, jax.random.uniform(key, mask.shape, jnp.float32)).ravel()
    rank = jnp.argsort(jnp.argsort(noise))
    return (rank < count).reshape(mask.shape) | mask


def _check_blocks(grid: int, count: int, smallest: int) -> None:
    check_grid(grid, least=2)
    if not 0 < count <= grid**2:
        raise JsslError(
            f'count is {count} of {grid**2} patches; give at least 1 and at most {grid**2}.'
        )
    if not 0 < smallest < grid**2:
        raise JsslError(
            f'smallest is {smallest}; give a block of at least 1 and less than {grid**2} patches.'
        )
