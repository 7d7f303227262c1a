"""RandAugment: each operation against Pillow, the draws against timm's definition."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jssl.augment.ops import rand_augment as policy
from tests.checks import refused

PIXELS = np.random.default_rng(0).integers(0, 256, (22, 26, 3), dtype=np.uint8)
STRENGTHS = (0.0, 0.37, 0.9, 1.0)
FILL = (124, 116, 104)
BATCH = np.stack([PIXELS] * 2 * len(STRENGTHS)).astype(np.float32)
APPLY = jax.jit(jax.vmap(policy.apply_operation))


def warp(numbers: Callable[[float], tuple[float, ...]]) -> Callable[..., Image.Image]:
    def apply(picture: Image.Image, x: float, sign: float) -> Image.Image:
        return picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            numbers(sign * x),
            Image.Resampling.BICUBIC,
            fillcolor=FILL,
        )

    return apply


def solarize_add(picture: Image.Image, x: float, sign: float) -> Image.Image:
    return picture.point(
        [min(255, int(level + 110 * x)) if level < 128 else level for level in range(256)] * 3
    )


def posterize(picture: Image.Image, bits: int) -> Image.Image:
    """Pillow's, and black for no bits at all, which Pillow refuses and timm means."""
    return ImageOps.posterize(picture, bits) if bits else picture.point([0] * 768)


def enhance(kind: type) -> Callable[..., Image.Image]:
    return lambda picture, x, sign: kind(picture).enhance(1 + 0.9 * sign * x)


PILLOW = {
    'auto_contrast': lambda picture, x, sign: ImageOps.autocontrast(picture),
    'equalize': lambda picture, x, sign: ImageOps.equalize(picture),
    'invert': lambda picture, x, sign: ImageOps.invert(picture),
    'posterize': lambda picture, x, sign: posterize(picture, math.ceil(4 - 4 * x)),
    'solarize': lambda picture, x, sign: ImageOps.solarize(picture, 256 - 256 * x),
    'solarize_add': solarize_add,
    'saturation': enhance(ImageEnhance.Color),
    'contrast': enhance(ImageEnhance.Contrast),
    'brightness': enhance(ImageEnhance.Brightness),
    'sharpness': enhance(ImageEnhance.Sharpness),
    'rotate': lambda picture, x, sign: picture.rotate(
        30 * sign * x, Image.Resampling.BICUBIC, fillcolor=FILL
    ),
    'shear_x': warp(lambda x: (1, 0.3 * x, 0, 0, 1, 0)),
    'shear_y': warp(lambda x: (1, 0, 0, 0.3 * x, 1, 0)),
    'translate_x': warp(lambda x: (1, 0, 0.45 * x * 26, 0, 1, 0)),
    'translate_y': warp(lambda x: (1, 0, 0, 0, 1, 0.45 * x * 22)),
}


@pytest.mark.parametrize('name', policy.OPERATIONS)
def test_operation_equals_pillow_within_one_level(name: str) -> None:
    cases = [(strength, sign) for strength in STRENGTHS for sign in (1.0, -1.0)]
    strengths, signs = (np.array(column, np.float32) for column in zip(*cases, strict=True))
    index = np.full(len(cases), policy.OPERATIONS.index(name), np.int32)
    draw = policy.Draw(*map(jnp.asarray, (index, strengths, signs, np.ones(len(cases), bool))))
    images = APPLY(BATCH, draw)
    for image, (strength, sign) in zip(images, cases, strict=True):
        expected = np.asarray(PILLOW[name](Image.fromarray(PIXELS), strength, sign), np.float32)
        difference = np.abs(np.asarray(image) - expected)
        # A geometric operation may place one pixel in 500 otherwise, see `geometry.affine`.
        allowed = 0.002 if index[0] >= len(policy.TONES) else 0
        assert np.mean(difference > 1) <= allowed, (strength, sign)


def test_an_operation_that_is_not_applied_changes_nothing() -> None:
    count, ones = len(BATCH), jnp.ones(len(BATCH), jnp.float32)
    for first in (0, len(policy.OPERATIONS) - count):
        index = jnp.arange(first, first + count, dtype=jnp.int32)
        images = APPLY(BATCH, policy.Draw(index, ones, ones, jnp.zeros(count, bool)))
        assert np.array_equal(images, BATCH)


@pytest.fixture(scope='module')
def draws() -> policy.Draw:
    keys = jax.random.split(jax.random.key(0), 15_000)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(policy.draw_operations))(keys))


def test_operations_are_drawn_uniformly_and_with_replacement(draws: policy.Draw) -> None:
    counts = np.zeros((15, 15))
    np.add.at(counts, (draws.operation[:, 0], draws.operation[:, 1]), 1)
    expected = 15_000 / 225
    assert ((counts - expected) ** 2 / expected).sum() < 294  # chi-squared, 224 degrees, p = 0.001


def test_strength_is_normal_around_the_level_and_clipped(draws: policy.Draw) -> None:
    strengths = draws.strength.ravel()
    levels = np.clip(np.random.default_rng(0).normal(9, 0.5, 100_000), 0, 10) / 10
    quantiles = np.linspace(0.01, 0.99, 25)
    found, expected = (np.quantile(x, quantiles) for x in (strengths, levels))
    assert np.abs(found - expected).max() < 0.004
    assert strengths.max() == 1
    assert np.mean(strengths == 1) == pytest.approx(0.0228, abs=0.004)


def test_sign_and_application_are_fair_coins(draws: policy.Draw) -> None:
    assert set(draws.sign.ravel()) == {1, -1}
    assert abs(draws.sign.mean()) < 0.025
    assert draws.applied.mean() == pytest.approx(0.5, abs=0.012)
    assert abs(np.corrcoef(draws.applied.T)[0, 1]) < 0.04


def test_rand_augment_applies_its_draws_in_order() -> None:
    keys = jax.random.split(jax.random.key(3), len(BATCH))
    images = jax.jit(jax.vmap(policy.rand_augment))(keys, BATCH)
    drawn = jax.vmap(policy.draw_operations)(keys)
    assert np.asarray(drawn.applied).all(axis=1).any()
    batch = BATCH
    for step in range(2):
        batch = APPLY(batch, jax.tree.map(lambda field, step=step: field[:, step], drawn))
    assert images.dtype == jnp.float32
    assert np.array_equal(images, np.round(images))
    assert np.mean(np.asarray(images) != np.asarray(batch)) < 1e-3


def test_images_without_colours_are_refused() -> None:
    with refused('RandAugment', '1 channel'):
        policy.rand_augment(jax.random.key(0), jnp.zeros((8, 8, 1)))
