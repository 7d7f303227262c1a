"""Masks of a ratio that is drawn for each image, of rectangles or of patches on their own (iBOT).

Zhou, Wei, Wang, Shen, Xie, Yuille, Kong, "iBOT: Image BERT Pre-Training with Online Tokenizer",
ICLR 2022, arXiv 2111.07832, section 3.3: half of the images see no mask, the others one of a ratio
in [0.1, 0.5].
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jssl.augment.masks.grid import check_grid
from jssl.augment.masks.numbers import Numbers, numbers_of
from jssl.augment.masks.rectangles import add_rectangles
from jssl.errors import JsslError

Ratios = Sequence[float]


def ratio_mask(
    key: jax.Array, grid: int = 14, ratios: Ratios = (0.0, 0.3), spreads: Ratios = (0.0, 0.2)
) -> jax.Array:
    """Mask rectangles up to a ratio that is drawn.

    Args:
      key: one typed key.
      grid: patches along each side, at least 3.
      ratios: one of them is chosen, each as likely as the other.
      spreads: a ratio is uniform between itself less and itself plus its spread.

    Returns:
      Bool (grid, grid). It may have fewer patches than the ratio says, see `add_rectangles`.

    Raises:
      JsslError: there are more or fewer spreads than ratios, one leaves [0, 1], or the grid is too
        small for a rectangle.

    Examples:
      >>> print(ratio_mask(jax.random.key(0), 8, ratios=(0.25,), spreads=(0.0,)).sum() <= 16)
      True
    """
    check_ratios(grid, ratios, spreads)
    return rectangles_of_ratio(numbers_of(key), 0, grid, ratios, spreads)[0]


def scattered_mask(
    key: jax.Array, grid: int = 14, ratios: Ratios = (0.0, 0.3), spreads: Ratios = (0.0, 0.2)
) -> jax.Array:
    """Mask patches on their own, in a ratio that is drawn; rounded down to whole patches.

    Args:
      key, grid, ratios, spreads: as in `ratio_mask`.

    Returns:
      Bool (grid, grid).

    Raises:
      JsslError: as in `ratio_mask`.

    Examples:
      >>> print(scattered_mask(jax.random.key(0), 8, ratios=(0.25,), spreads=(0.0,)).sum())
      16
    """
    check_ratios(grid, ratios, spreads)
    ratio_key, key = jax.random.split(key)
    ratio, _ = drawn_ratio(numbers_of(ratio_key), 0, ratios, spreads)
    rank = jax.random.permutation(key, grid**2)
    return (rank < jnp.floor(ratio * grid**2)).reshape(grid, grid)


def rectangles_of_ratio(
    numbers: Numbers, used: jax.Array | int, grid: int, ratios: Ratios, spreads: Ratios
) -> tuple[jax.Array, jax.Array]:
    """The rule of `ratio_mask` as a function of its numbers: the mask, and the numbers used.

    Args:
      numbers: where they come from.
      used: how many of them have been used before.
      grid, ratios, spreads: as in `ratio_mask`.

    Returns:
      Bool (grid, grid) and int32.

    Examples:
      >>> mask, used = rectangles_of_ratio(numbers_of(jax.random.key(0)), 0, 8, (0.0,), (0.0,))
      >>> print(mask.sum(), used)
      0 0
    """
    ratio, used = drawn_ratio(numbers, used, ratios, spreads)
    return add_rectangles(numbers, used, ratio * grid**2, grid, smallest=(grid // 3) ** 2)


def drawn_ratio(
    numbers: Numbers, used: jax.Array | int, ratios: Ratios, spreads: Ratios
) -> tuple[jax.Array, jax.Array | int]:
    """One of the ratios, each with its spread: a number for each that has one, one for the choice.

    Args:
      numbers, used, ratios, spreads: as in `rectangles_of_ratio`.

    Returns:
      The ratio, a scalar, and the numbers used.

    Examples:
      >>> from jssl.augment.masks.numbers import recorded
      >>> ratio, used = drawn_ratio(recorded(jnp.array([0.5, 0.9])), 0, (0.0, 0.3), (0.0, 0.2))
      >>> print(ratio, used)
      0.3 2
    """
    choices = len(ratios) > 1
    count = sum(spread > 0 for spread in spreads) + choices
    drawn = numbers(used, max(count, 1))
    around = iter(drawn)
    values = [
        ratio - spread + 2 * spread * next(around) if spread > 0 else ratio
        for ratio, spread in zip(ratios, spreads, strict=True)
    ]
    which = jnp.floor(drawn[-1] * len(ratios)).astype(jnp.int32) if choices else 0
    return jnp.stack([jnp.asarray(value, drawn.dtype) for value in values])[which], used + count


def check_ratios(grid: int, ratios: Ratios, spreads: Ratios) -> None:
    """Refuses what leaves no rectangle or no ratio to draw.

    Raises:
      JsslError: see `ratio_mask`.

    Examples:
      >>> check_ratios(14, (0.0, 0.3), (0.0, 0.2))
    """
    check_grid(grid, least=3)
    if not ratios or len(ratios) != len(spreads):
        raise JsslError(
            f'config.model.mask_ratios are {tuple(ratios)} and config.model.mask_spreads '
            f'{tuple(spreads)}; give a spread to each ratio, 0 where it does not vary.'
        )
    for ratio, spread in zip(ratios, spreads, strict=True):
        if not 0 <= spread <= ratio or ratio + spread > 1:
            raise JsslError(
                f'{ratio!r} of config.model.mask_ratios leaves [0, 1] with its {spread!r} of '
                f'config.model.mask_spreads; give one of at most {min(ratio, 1 - ratio):.10g}.'
            )
