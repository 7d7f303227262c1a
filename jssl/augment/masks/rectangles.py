"""Rectangles that cover new patches of a grid: the steps of a rule, and iBOT's and DINOv2's rule.

Bao, Dong, Piao, Wei, "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022, arXiv 2106.08254,
algorithm 1, is where they come from: a rectangle's area is uniform between a smallest one and what
is still missing, its aspect log-uniform in [0.3, 1/0.3], and both of its sides are shorter than the
grid's.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jssl.augment.masks.numbers import Numbers

LONGEST_ASPECT = 1 / 0.3
ATTEMPTS = 10  # at a rectangle that fits, before there will be no more of them


def block_sides(area: jax.Array, aspect: jax.Array, smallest: int, left: jax.Array) -> jax.Array:
    """Heights and widths int32 (2, ...) of rectangles, from two uniform numbers each.

    Args:
      area: (...), of the way from `smallest` to `left`, which may be the shorter one.
      aspect: (...), of the way from 0.3 to 1/0.3 on a logarithmic scale.
      smallest: area in patches.
      left: patches that may still be masked.

    Examples:
      >>> print(block_sides(jnp.array(0.5), jnp.array(0.5), 4, jnp.array(46)))
      [5 5]
    """
    area = smallest + area * (left - smallest)
    aspect = jnp.exp((2 * aspect - 1) * math.log(LONGEST_ASPECT))
    return jnp.round(jnp.sqrt(jnp.stack([area * aspect, area / aspect]))).astype(jnp.int32)


def block_spans(place: jax.Array, sides: jax.Array, space: jax.Array, grid: int) -> jax.Array:
    """Which rows and which columns rectangles cover, bool (2, ..., grid).

    Args:
      place: (2, ...), uniform numbers that choose the top and the left.
      sides: int (2, ...), heights and widths.
      space: int (2, ...), between how many tops and lefts to choose.
      grid: patches along each side.

    Examples:
      >>> print(block_spans(jnp.array([0.0, 0.9]), jnp.array([1, 2]), jnp.array([4, 3]), 4) * 1)
      [[1 0 0 0]
       [0 0 1 1]]
    """
    first = jnp.minimum(jnp.floor(place * space).astype(jnp.int32), space - 1)
    index = jnp.arange(grid)
    return (index >= first[..., None]) & (index < (first + sides)[..., None])


def new_patches(mask: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """How many patches each of the rectangles would add to a mask, float32 (n,).

    Args:
      mask: bool (grid, grid).
      rows: bool (n, grid), those of the rectangles.
      columns: bool (n, grid).

    Examples:
      >>> one = jnp.array([[True, True, False]])
      >>> print(new_patches(jnp.eye(3, dtype=bool), one, one))
      [2.]
    """
    # Small whole numbers: exact in whatever precision an accelerator multiplies them.
    rows, columns = rows.astype(jnp.float32), columns.astype(jnp.float32)
    return jnp.einsum('nr,rc,nc->n', rows, 1.0 - mask, columns)


def add_rectangles(
    numbers: Numbers,
    used: jax.Array | int,
    goal: jax.Array,
    grid: int,
    *,
    smallest: int,
    largest: float | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Rectangles until `goal` patches are masked, or none of ten attempts at one more succeeds.

    An attempt uses two numbers, and two more if both sides fit. It succeeds if it masks a new patch
    and no more of them than are left. Other than in `block_mask` the goal may so be missed.

    Args:
      numbers: where they come from.
      used: how many of them have been used before.
      goal: scalar, patches to mask, which need not be a whole number.
      grid: patches along each side.
      smallest: area in patches where the drawn area begins; nothing keeps it from being more than
        is left.
      largest: most patches that one rectangle may add; None for no such bound.

    Returns:
      Bool (grid, grid), and the numbers used by then, int32.

    Examples:
      >>> from jssl.augment.masks.numbers import numbers_of
      >>> numbers = numbers_of(jax.random.key(0))
      >>> mask, used = add_rectangles(numbers, 0, jnp.array(20), 8, smallest=4)
      >>> print(mask.sum() <= 20, used > 0)
      True True
    """

    def add(
        carry: tuple[jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        used, mask, _ = carry
        left = goal - jnp.sum(mask)
        left = left if largest is None else jnp.minimum(left, largest)
        taken, grown = _add_one(numbers(used, 4 * ATTEMPTS), mask, left, smallest)
        count = jnp.sum(grown)
        return used + taken, grown, (count > jnp.sum(mask)) & (count < goal)

    start = (jnp.asarray(used, jnp.int32), jnp.zeros((grid, grid), bool), goal > 0)
    used, mask, _ = lax.while_loop(lambda carry: carry[2], add, start)
    return mask, used


def _add_one(
    numbers: jax.Array, mask: jax.Array, left: jax.Array, smallest: int
) -> tuple[jax.Array, jax.Array]:
    """The numbers that the attempts at one rectangle use, and `mask` with it if one succeeds."""
    grid = mask.shape[0]
    pairs = numbers.reshape(2 * ATTEMPTS, 2).T
    sides = block_sides(pairs[0], pairs[1], smallest, left)
    fits = jnp.all(sides < grid, axis=0)
    # An attempt begins one or two pairs after the one before: all pairs are tried as a beginning.
    begins = [jnp.zeros((), jnp.int32)]
    for _ in range(ATTEMPTS):
        begins.append(begins[-1] + 1 + fits[begins[-1]])
    at, end = jnp.stack(begins[:-1]), jnp.stack(begins[1:])
    sides, fits = sides[:, at], fits[at]
    rows, columns = block_spans(pairs[:, at + 1], sides, grid - sides + 1, grid)
    new = new_patches(mask, rows, columns)
    fits &= (new > 0) & (new <= left)
    first = jnp.argmax(fits)
    block = rows[first][:, None] & columns[first]
    used = 2 * jnp.where(fits[first], end[first], end[-1])
    return used, mask | (block & fits[first])
