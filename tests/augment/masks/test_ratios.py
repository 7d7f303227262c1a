"""Masks whose ratio is drawn for each image."""

import jax
import numpy as np
import pytest

from jssl.augment import masks
from tests.checks import refused

KEYS = jax.random.split(jax.random.key(0), 600)


@pytest.fixture(scope='module')
def drawn() -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(masks.ratio_mask))(KEYS))


def test_half_of_the_images_see_no_mask_and_others_up_to_half(drawn: np.ndarray) -> None:
    counts = drawn.sum(axis=(1, 2))
    assert drawn.shape == (600, 14, 14)
    assert np.mean(counts == 0) == pytest.approx(0.5, abs=0.06)
    masked = counts[counts > 0]
    assert masked.max() <= 98
    # Uniform between 0.1 and 0.5; rectangles of 16 patches and more reach a goal seldom exactly.
    assert masked.mean() == pytest.approx(0.3 * 196, abs=5)
    assert np.quantile(masked, 0.1) < 34
    assert np.quantile(masked, 0.9) > 80


def test_masks_are_rectangles_and_scattered_ones_are_not(drawn: np.ndarray) -> None:
    scattered = np.asarray(jax.jit(jax.vmap(masks.scattered_mask))(KEYS))
    counts = scattered.sum(axis=(1, 2))
    assert np.mean(counts == 0) == pytest.approx(0.5, abs=0.06)
    assert 18 <= counts[counts > 0].min() < 25
    assert 90 < counts.max() <= 98
    agree = [
        np.mean(m[m.any(axis=(1, 2))][:, 1:] == m[m.any(axis=(1, 2))][:, :-1])
        for m in (drawn, scattered)
    ]
    assert agree[0] > agree[1] + 0.2


def test_one_ratio_without_a_spread_is_that_of_every_scattered_mask() -> None:
    draw = jax.vmap(lambda key: masks.scattered_mask(key, 7, (0.65,), (0.0,)))
    assert (np.asarray(draw(KEYS[:9])).sum(axis=(1, 2)) == 31).all()


@pytest.mark.parametrize(
    ('grid', 'ratios', 'spreads', 'words'),
    [
        (2, (0.3,), (0.0,), ('grid=2', '3 or more')),
        (14, (0.3,), (0.0, 0.1), ('config.model.mask_ratios', 'spread to each')),
        (14, (), (), ('spread to each ratio',)),
        (14, (0.1,), (0.2,), ('0.1 of config.model.mask_ratios', 'give one of at most 0.1.')),
        (14, (0.9,), (0.2,), ('0.2 of config.model.mask_spreads', 'give one of at most 0.1.')),
    ],
)
def test_ratios_that_cannot_be_drawn_are_refused(
    grid: int, ratios: tuple[float, ...], spreads: tuple[float, ...], words: tuple[str, ...]
) -> None:
    for draw in (masks.ratio_mask, masks.scattered_mask):
        with refused(*words):
            draw(KEYS[0], grid, ratios, spreads)
