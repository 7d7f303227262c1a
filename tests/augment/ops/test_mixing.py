"""Mixup and CutMix: what is mixed, and how often, against the rules in plain NumPy."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment.ops import mixing
from tests.checks import refused

BATCH, HEIGHT, WIDTH = 6, 12, 10
# Image i is i everywhere and its target is class i, so that a result shows who was mixed.
IMAGES = jnp.broadcast_to(jnp.arange(BATCH)[:, None, None, None], (BATCH, HEIGHT, WIDTH, 3)) * 1.0
TARGETS = jnp.eye(BATCH)
KEYS = jax.random.split(jax.random.key(0), 3000)


def run(function: Callable[..., tuple[jax.Array, jax.Array]]) -> tuple[np.ndarray, np.ndarray]:
    images, targets = jax.jit(jax.vmap(lambda key: function(key, IMAGES, TARGETS)))(KEYS)
    return np.asarray(images), np.asarray(targets)


@pytest.fixture(scope='module')
def mixup() -> tuple[np.ndarray, np.ndarray]:
    return run(mixing.mixup)


@pytest.fixture(scope='module')
def cutmix() -> tuple[np.ndarray, np.ndarray]:
    return run(mixing.cutmix)


def gap(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance: the largest gap between two empirical distributions."""
    grid = np.concatenate([first, second])
    one, two = (np.searchsorted(np.sort(x), grid, 'right') / len(x) for x in (first, second))
    return float(np.abs(one - two).max())


def own_ratios(targets: np.ndarray) -> np.ndarray:
    """The ratio of each draw, from an image that is not its own partner."""
    own = np.diagonal(targets, axis1=1, axis2=2)
    return np.round(own.min(axis=1).astype(np.float64), 4)


def test_mixup_blends_pixels_and_targets_alike(mixup: tuple[np.ndarray, np.ndarray]) -> None:
    images, targets = mixup
    np.testing.assert_allclose(targets.sum(axis=2), 1, rtol=1e-6)
    expected = np.broadcast_to((targets @ np.arange(BATCH))[..., None, None, None], images.shape)
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_mixup_has_one_ratio_and_a_permutation_per_batch(
    mixup: tuple[np.ndarray, np.ndarray],
) -> None:
    _, targets = mixup
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)  # each image is one partner
    own = np.diagonal(targets, axis1=1, axis2=2)
    moved = own < 0.9999
    assert np.ptp(np.where(moved, own, own.min(axis=1, keepdims=True)), axis=1).max() < 1e-6
    partners = np.mean(targets - own[:, :, None] * np.eye(BATCH) > 1e-4, axis=0)
    assert np.abs(partners[~np.eye(BATCH, dtype=bool)] - 1 / BATCH).max() < 0.03


def test_mixup_ratio_is_beta_distributed(mixup: tuple[np.ndarray, np.ndarray]) -> None:
    ratios = own_ratios(mixup[1])
    expected = np.random.default_rng(0).beta(0.8, 0.8, 20_000)
    assert gap(ratios[ratios < 0.9999], expected[expected < 0.9999]) < 0.04  # p = 0.001


def test_cutmix_pastes_one_box_and_weighs_targets_by_its_area(
    cutmix: tuple[np.ndarray, np.ndarray],
) -> None:
    images, targets = cutmix
    pasted = images != np.arange(BATCH)[:, None, None, None]
    moved = pasted.any(axis=(2, 3, 4))
    own = np.diagonal(targets, axis1=1, axis2=2)
    np.testing.assert_allclose(own[moved], 1 - pasted.mean(axis=(2, 3, 4))[moved], atol=1e-6)
    for draw in range(100):
        box = pasted[draw].any(axis=(0, 3))
        rows, columns = box.any(axis=1), box.any(axis=0)
        assert np.array_equal(box, rows[:, None] & columns)
        for image in np.flatnonzero(moved[draw]):
            partner = int(np.argmax(targets[draw, image] * (np.arange(BATCH) != image)))
            assert (images[draw, image][box] == partner).all()


def reference_ratios(count: int) -> np.ndarray:
    """The ratio after the box was cut to the image, with one draw at a time."""
    rng, ratios = np.random.default_rng(1), np.empty(count)
    for index in range(count):
        sides = np.sqrt(1 - rng.beta(1, 1)) * np.array([HEIGHT, WIDTH])
        center = rng.integers(0, [HEIGHT, WIDTH])
        first = np.clip(center - sides.astype(int) // 2, 0, [HEIGHT, WIDTH])
        last = np.clip(center + sides.astype(int) // 2, 0, [HEIGHT, WIDTH])
        ratios[index] = 1 - np.prod(last - first) / (HEIGHT * WIDTH)
    return ratios


def test_cutmix_ratio_follows_the_rule(cutmix: tuple[np.ndarray, np.ndarray]) -> None:
    assert gap(own_ratios(cutmix[1]), np.round(reference_ratios(10_000), 4)) < 0.04  # p = 0.001


def test_mix_chooses_one_of_both_for_the_whole_batch() -> None:
    images, targets = run(mixing.mix)
    blended = (images != np.round(images)).any(axis=(1, 2, 3, 4))
    assert blended.mean() == pytest.approx(0.5, abs=0.04)
    means = images.mean(axis=(2, 3, 4))
    np.testing.assert_allclose(means, targets @ np.arange(BATCH), atol=1e-4)


@pytest.mark.parametrize('alpha', [0.0, -1.0, float('nan')])
def test_alpha_that_is_not_positive_is_refused(alpha: float) -> None:
    for function in (mixing.mixup, mixing.cutmix, partial(mixing.mix, cutmix_alpha=1.0)):
        with refused(f'alpha is {alpha!r}', 'positive'):
            function(KEYS[0], IMAGES, TARGETS, alpha)


@pytest.mark.parametrize('targets', [jnp.arange(BATCH), jnp.eye(BATCH - 1)])
def test_targets_that_are_not_one_row_per_image_are_refused(targets: jax.Array) -> None:
    with refused(str(targets.shape), 'jax.nn.one_hot'):
        mixing.mixup(KEYS[0], IMAGES, targets)
