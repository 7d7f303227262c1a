"""Masks of a batch with ratios from strata, so that each batch has all of them (DINOv2, DINOv3).

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024, arXiv
2304.07193; Siméoni et al., "DINOv3", arXiv 2508.10104.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jssl.augment.masks.blocks import complete_mask
from jssl.augment.masks.grid import check_grid
from jssl.augment.masks.numbers import Numbers, numbers_of
from jssl.augment.masks.rectangles import add_rectangles
from jssl.errors import JsslError

Range = tuple[float, float]
SMALLEST = 4  # area in patches where that of a rectangle begins
LARGEST = 0.5  # share of the patches that one rectangle may add


def stratified_masks(
    key: jax.Array, rows: int, grid: int = 14, *, share: float = 0.5, ratios: Range = (0.1, 0.5)
) -> jax.Array:
    """Masks of rectangles for some rows of a batch, each with a ratio from a stratum of its own.

    Args:
      key: one typed key.
      rows: images of the batch, all of its global crops.
      grid: patches along each side, at least 3.
      share: of the rows that are masked, rounded down.
      ratios: least and largest share of the patches; they are cut into as many strata as rows are
        masked.

    Returns:
      Bool (rows, grid, grid); rows that are not masked are False, and which they are is random. A
      mask may have fewer patches than its ratio says, see `add_rectangles`.

    Raises:
      JsslError: nothing would be masked, or what is no share.

    Examples:
      >>> masks = stratified_masks(jax.random.key(0), rows=6, grid=8)
      >>> print(masks.any(axis=(1, 2)).sum(), masks.sum() <= most_masked(6, 8))
      3 True
    """
    limits = jnp.asarray(strata(rows, share, ratios))
    keys = jax.random.split(key, len(limits))

    def one(key: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
        return rectangles_of_stratum(numbers_of(key), 0, grid, low, high)[0]

    check_grid(grid, least=3)
    masks = jax.vmap(one)(keys[1:], limits[:-1], limits[1:])
    return rows_of_masks(masks, jax.random.permutation(keys[0], rows))


def completed_masks(
    key: jax.Array,
    rows: int,
    grid: int = 14,
    *,
    share: float = 0.5,
    ratios: Range = (0.1, 0.5),
    shift: bool = False,
) -> jax.Array:
    """`stratified_masks` of exactly the upper end of each stratum, as DINOv3 has them.

    Args:
      key, rows, grid, share, ratios: as in `stratified_masks`.
      shift: rolls each mask by a random number of rows and of columns, so that patches at the
        border are masked as often as others.

    Returns:
      Bool (rows, grid, grid), True in `most_masked` places.

    Raises:
      JsslError: as in `stratified_masks`.

    Examples:
      >>> print(completed_masks(jax.random.key(0), rows=6, grid=8).sum(), most_masked(6, 8))
      69 69
    """
    check_grid(grid, least=3)
    goals = jnp.asarray(_counts(rows, grid, share, ratios))
    order_key, *keys = jax.random.split(key, len(goals) + 1)

    def one(key: jax.Array, goal: jax.Array) -> jax.Array:
        keys = jax.random.split(key, 3)
        mask, _ = _rectangles(numbers_of(keys[0]), 0, goal, grid)
        mask = complete_mask(keys[1], mask, goal)
        by = jax.random.randint(keys[2], (2,), 0, grid) if shift else jnp.zeros(2, jnp.int32)
        return jnp.roll(mask, by, axis=(0, 1))

    masks = jax.vmap(one)(jnp.stack(keys), goals)
    return rows_of_masks(masks, jax.random.permutation(order_key, rows))


def rectangles_of_stratum(
    numbers: Numbers,
    used: jax.Array | int,
    grid: int,
    low: jax.Array | float,
    high: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
    """The rule of one mask of `stratified_masks` as a function of its numbers.

    Args:
      numbers: where they come from.
      used: how many of them have been used before.
      grid: patches along each side.
      low: least share of the patches.
      high: largest share.

    Returns:
      Bool (grid, grid), and the numbers used by then.

    Examples:
      >>> mask, _ = rectangles_of_stratum(numbers_of(jax.random.key(0)), 0, 8, 0.25, 0.5)
      >>> print(mask.sum() <= 32)
      True
    """
    ratio = low + (high - low) * numbers(used, 1)[0]
    return _rectangles(numbers, used + 1, jnp.floor(grid**2 * ratio), grid)


def rows_of_masks(masks: jax.Array, order: jax.Array) -> jax.Array:
    """Masks and, after them, rows without one, in another order.

    Args:
      masks: bool (n, grid, grid).
      order: int (rows,), which of them each row is; n and more are rows without a mask.

    Returns:
      Bool (rows, grid, grid).

    Examples:
      >>> print(rows_of_masks(jnp.ones((1, 1, 1), bool), jnp.array([1, 0, 2])).ravel())
      [False  True False]
    """
    without = len(order) - len(masks)
    return jnp.pad(masks, ((0, without), (0, 0), (0, 0)))[order]


def most_masked(
    rows: int, grid: int = 14, *, share: float = 0.5, ratios: Range = (0.1, 0.5)
) -> int:
    """How many patches of a batch are masked at most: what buffers of a static size hold.

    Args:
      rows, grid, share, ratios: as in `stratified_masks`.

    Raises:
      JsslError: as in `stratified_masks`, and if the ratios are less than a patch.

    Examples:
      >>> most_masked(16, 14)
      507
    """
    return int(_counts(rows, grid, share, ratios).sum())


def masked_patches(masks: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
    """Where a batch is masked, and what each of these patches counts in a mean over images.

    Args:
      masks: bool (rows, ...), the masks of the images.
      most: how many places there are for them, `most_masked`.

    Returns:
      int32 (most,), numbers of the masked patches among all patches of all rows, in order;
      float32 (most,), one over the number of masked patches of their image. Places that are left
      over have the number 0 and the weight 0: what sums over patches leaves them out by it.

    Examples:
      >>> index, weight = masked_patches(jnp.array([[True, False, True], [False, True, False]]), 4)
      >>> print(index, weight)
      [0 2 4 0] [0.5 0.5 1.  0. ]
    """
    flat = masks.reshape(len(masks), -1)
    counts = jnp.sum(flat, axis=1)
    (index,) = jnp.nonzero(flat.ravel(), size=most, fill_value=0)
    there = jnp.arange(most) < jnp.sum(counts)
    weight = 1 / jnp.maximum(counts[index // flat.shape[1]], 1).astype(jnp.float32)
    return index.astype(jnp.int32), jnp.where(there, weight, 0)


def strata(rows: int, share: float, ratios: Range) -> np.ndarray:
    """The limits of the strata, float32 (masked rows + 1,).

    Args:
      rows, share, ratios: as in `stratified_masks`.

    Raises:
      JsslError: nothing would be masked, or what is no share.

    Examples:
      >>> print(strata(4, 0.5, (0.1, 0.5)))
      [0.1 0.3 0.5]
    """
    if not 0 < share <= 1 or not 0 < ratios[0] <= ratios[1] <= 1:
        raise JsslError(
            f'config.model.mask_share is {share!r} and config.model.mask_ratios are '
            f'{tuple(ratios)}; give a share between 0 and 1, and two ratios between 0 and 1 of '
            'which the second is not the smaller one.'
        )
    masked = int(rows * share)
    if masked < 1:
        raise JsslError(
            f'config.model.mask_share={share!r} of {rows} rows masks none of them; give at least '
            f'{1 / rows:.3g}, or a larger config.batch_size.'
        )
    return np.linspace(*ratios, masked + 1).astype(np.float32)


def _counts(rows: int, grid: int, share: float, ratios: Range) -> np.ndarray:
    """The most patches of each mask, int32 (masked rows,)."""
    limits = strata(rows, share, ratios)
    counts = np.floor(np.float32(grid**2) * limits[1:]).astype(np.int32)
    if not counts.any():
        raise JsslError(
            f'config.model.mask_ratios={tuple(ratios)} of {grid**2} patches are less than one; '
            f'give a second ratio of at least {1 / grid**2:.3g}.'
        )
    return counts


def _rectangles(
    numbers: Numbers, used: jax.Array | int, goal: jax.Array, grid: int
) -> tuple[jax.Array, jax.Array]:
    largest = LARGEST * grid**2
    return add_rectangles(numbers, used, goal, grid, smallest=SMALLEST, largest=largest)
