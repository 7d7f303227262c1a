"""Block masks: exact counts, and distributions against golden values and the plain rule."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment import masks
from jssl.augment.masks import blocks as blocks_module
from tests.checks import refused


def reference_block_mask(rng: np.random.Generator) -> np.ndarray:
    """One attempt after the other, as the specification words it."""
    mask = np.zeros((14, 14), bool)
    while mask.sum() < 75:
        missing = 75 - mask.sum()
        for _ in range(10):
            area = 16 + rng.random() * (missing - 16)
            aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height >= 14 or width >= 14:
                continue
            top, left = rng.integers(0, 15 - height), rng.integers(0, 15 - width)
            block = mask[top : top + height, left : left + width]
            if 0 < (~block).sum() <= missing:
                block[:] = True
                break
    return mask


@pytest.fixture(scope='module')
def blocks() -> np.ndarray:
    keys = jax.random.split(jax.random.key(1), 2000)
    return np.asarray(jax.jit(jax.vmap(masks.block_mask))(keys))


def test_block_mask_has_exactly_75_patches_and_the_golden_frequencies(blocks: np.ndarray) -> None:
    assert blocks.shape == (2000, 14, 14)
    assert blocks.dtype == bool
    assert (blocks.sum(axis=(1, 2)) == 75).all()
    frequency = blocks.mean(axis=0)
    assert frequency[6:8, 6:8].mean() == pytest.approx(0.723, abs=0.02)
    assert frequency[0, 6] == pytest.approx(0.18, abs=0.02)
    assert frequency[0, 0] == pytest.approx(0.039, abs=0.02)


def symmetric(frequency: np.ndarray) -> np.ndarray:
    """The mean over the eight symmetries of the square, which the rule has."""
    turns = [np.rot90(frequency, turn) for turn in range(4)]
    return np.mean([*turns, *(turn.T for turn in turns)], axis=0)


def test_block_mask_is_distributed_as_one_attempt_after_the_other(blocks: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    expected = np.stack([reference_block_mask(rng) for _ in range(1500)])
    difference = symmetric(blocks.mean(axis=0)) - symmetric(expected.mean(axis=0))
    assert np.abs(difference).max() < 0.025
    for axis in (1, 2):  # how much neighbours agree tells blocks from scattered patches
        found, wanted = (np.mean(x == np.roll(x, 1, axis), axis=(1, 2)) for x in (blocks, expected))
        assert found.mean() == pytest.approx(wanted.mean(), abs=0.005)
        assert found.std() == pytest.approx(wanted.std(), abs=0.005)


def gap(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance: the largest gap between two empirical distributions."""
    grid = np.concatenate([first, second])
    one, two = (np.searchsorted(np.sort(x), grid, 'right') / len(x) for x in (first, second))
    return float(np.abs(one - two).max())


def test_first_block_has_the_area_and_the_aspect_of_the_rule() -> None:
    draw = jax.jit(
        jax.vmap(lambda key: blocks_module._add_block(key, jnp.zeros((14, 14), bool), 75, 16))
    )
    drawn = np.asarray(draw(jax.random.split(jax.random.key(5), 4000)))
    height, width = (drawn.any(axis=axis).sum(axis=1) for axis in (2, 1))
    rng = np.random.default_rng(3)
    area = rng.uniform(16, 75, 20_000)
    aspect = np.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3), 20_000))
    sides = np.round(np.sqrt([area * aspect, area / aspect]))
    sides = sides[:, (sides < 14).all(axis=0) & (sides.prod(axis=0) <= 75)]
    assert gap(height * width, sides.prod(axis=0)) < 0.034  # p = 0.001
    assert gap(height / width, sides[0] / sides[1]) < 0.034


def test_block_mask_is_exact_for_counts_that_blocks_alone_cannot_reach() -> None:
    for grid, count, smallest in [(4, 16, 1), (5, 25, 20)]:
        keys = jax.random.split(jax.random.key(3), 20)
        draw = jax.jit(jax.vmap(lambda key, a=(grid, count, smallest): masks.block_mask(key, *a)))
        assert (np.asarray(draw(keys)).sum(axis=(1, 2)) == count).all()


def test_filling_up_keeps_the_mask_and_adds_random_patches() -> None:
    mask = jnp.eye(4, dtype=bool)
    filled = jax.vmap(lambda key: masks.complete_mask(key, mask, 7))(
        jax.random.split(jax.random.key(4), 400)
    )
    assert (np.asarray(filled).sum(axis=(1, 2)) == 7).all()
    frequency = np.asarray(filled).mean(axis=0)
    assert (np.diagonal(frequency) == 1).all()
    assert np.abs(frequency[~np.eye(4, dtype=bool)] - 3 / 12).max() < 0.1


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(grid=1, count=1), ('grid=1', '2 or more')),
        (dict(count=0), ('count is 0', 'at least 1 and at most 196')),
        (dict(count=197), ('count is 197 of 196', 'at most 196')),
        (dict(smallest=0), ('smallest is 0', 'at least 1')),
        (dict(grid=4, count=6), ('smallest is 16', 'less than 16')),
    ],
)
def test_block_mask_refuses_what_cannot_be_masked(
    options: dict[str, int], words: tuple[str, ...]
) -> None:
    with refused(*words):
        masks.block_mask(jax.random.key(0), **options)
