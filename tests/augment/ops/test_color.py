"""Colour operations against Pillow, and the distribution of the jitter's draws."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jssl.augment.ops import color

FACTORS = (0.0, 0.2, 0.6543, 1.0, 1.37, 1.8)
SHIFTS = (-0.5, -0.2, -0.0913, 0.0, 0.003, 0.1, 0.17, 0.2, 0.4999)
ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
OPERATIONS = (color.adjust_brightness, color.adjust_contrast, color.adjust_saturation)


@pytest.fixture(scope='module')
def pixels() -> np.ndarray:
    """Noise, greys and the corners of the colour cube."""
    image = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    image[:4] = image[:4, :, :1]
    image[4, :8] = list(itertools.product([0, 255], repeat=3))
    return image


def pillow_hue(picture: Image.Image, shift: float) -> Image.Image:
    hue, saturation, value = picture.convert('HSV').split()
    turned = (np.asarray(hue, np.int64) + int(shift * 255)) % 256
    hue = Image.fromarray(turned.astype(np.uint8))
    return Image.merge('HSV', (hue, saturation, value)).convert('RGB')


def difference(image: jax.Array, reference: object) -> float:
    assert image.dtype == jnp.float32
    return float(np.abs(np.asarray(image) - np.asarray(reference, np.float32)).max())


@pytest.mark.parametrize(('operation', 'enhancer'), list(zip(OPERATIONS, ENHANCERS, strict=True)))
def test_blends_equal_pillow(
    pixels: np.ndarray, operation: Callable[..., jax.Array], enhancer: Callable[[Image.Image], Any]
) -> None:
    images = jax.jit(jax.vmap(operation, (None, 0)))(
        pixels.astype(np.float32), np.array(FACTORS, np.float32)
    )
    for factor, image in zip(FACTORS, images, strict=True):
        assert difference(image, enhancer(Image.fromarray(pixels)).enhance(factor)) <= 1, factor


def test_contrast_uses_the_rounded_mean_of_the_luma() -> None:
    pixels = np.zeros((1, 2, 3), np.uint8)
    pixels[0, 1] = 1  # mean 0.5, rounded up to 1
    assert color.adjust_contrast(jnp.asarray(pixels, jnp.float32), 0.0).max() == 1
    assert (
        difference(
            color.adjust_contrast(jnp.asarray(pixels, jnp.float32), 0.0),
            ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(0.0),
        )
        == 0
    )


def test_hue_equals_pillow_within_one_level(pixels: np.ndarray) -> None:
    images = jax.jit(jax.vmap(color.adjust_hue, (None, 0)))(
        pixels.astype(np.float32), np.array(SHIFTS, np.float32)
    )
    for shift, image in zip(SHIFTS, images, strict=True):
        assert difference(image, pillow_hue(Image.fromarray(pixels), shift)) <= 1, shift


def test_hsv_equals_pillow_for_a_lattice_of_all_colours() -> None:
    levels = np.array([*range(0, 256, 5), 1, 2, 17, 254], np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    turned = jax.jit(color.adjust_hue)(cube.astype(np.float32), 0.1)
    expected = np.asarray(pillow_hue(Image.fromarray(cube), 0.1), np.float32)
    assert np.abs(turned - expected).max() <= 1
    assert np.mean(np.asarray(turned) != expected) < 1e-4


@pytest.mark.parametrize('weights', [(2989, 5870, 1140), (1, 1, 1)])
def test_gray_is_the_truncated_weighted_mean(pixels: np.ndarray, weights: tuple[int, ...]) -> None:
    expected = pixels.astype(np.int64) @ np.array(weights) // sum(weights)
    image = color.to_gray(jnp.asarray(pixels, jnp.float32), [weight / 10_000 for weight in weights])
    assert difference(image, np.repeat(expected[..., None], 3, axis=-1)) == 0


def test_gray_defaults_to_the_itu_weights_in_rgb_order() -> None:
    image = color.to_gray(jnp.array([[[255.0, 0, 0], [0, 255, 0], [0, 0, 255]]]))
    assert image[0, :, 0].tolist() == [76, 149, 29]


def test_solarize_equals_pillow(pixels: np.ndarray) -> None:
    image = color.solarize(jnp.asarray(pixels, jnp.float32))
    assert difference(image, ImageOps.solarize(Image.fromarray(pixels), 128)) == 0


def pillow_jitter(pixels: np.ndarray, factors: np.ndarray, order: Sequence[int]) -> Image.Image:
    picture = Image.fromarray(pixels)
    for operation in order:
        if operation == color.HUE:
            picture = pillow_hue(picture, float(factors[operation]))
        else:
            picture = ENHANCERS[operation](picture).enhance(float(factors[operation]))
    return picture


@pytest.mark.parametrize('factors', [(0.73, 1.41, 0.37, 0.11), (1.62, 0.55, 1.78, -0.2)])
@pytest.mark.parametrize('count', [4, 3])
def test_jitter_applies_every_order_as_pillow_does(
    pixels: np.ndarray, factors: tuple[float, ...], count: int
) -> None:
    orders = list(itertools.permutations(range(count)))
    drawn = np.array(factors[:count], np.float32)
    apply = jax.jit(jax.vmap(color.color_jitter, (None, None, 0)))
    images = apply(pixels.astype(np.float32), drawn, np.array(orders, np.int32))
    for order, image in zip(orders, images, strict=True):
        assert difference(image, pillow_jitter(pixels, drawn, order)) <= 3, order
        assert np.mean(np.asarray(image) != pillow_jitter(pixels, drawn, order)) < 0.005


@pytest.fixture(scope='module')
def draws() -> tuple[np.ndarray, np.ndarray]:
    keys = jax.random.split(jax.random.key(0), 24_000)
    draw = jax.jit(jax.vmap(lambda key: color.draw_color_jitter(key, 0.8, 0.4, 1.5, 0.2)))
    factors, order = draw(keys)
    return np.asarray(factors), np.asarray(order)


def test_jitter_factors_are_uniform_in_their_ranges(draws: tuple[np.ndarray, np.ndarray]) -> None:
    factors, _ = draws
    low, high = np.array([0.2, 0.6, 0, -0.2]), np.array([1.8, 1.4, 2.5, 0.2])
    assert (factors >= low.astype(np.float32)).all()
    assert (factors <= high.astype(np.float32)).all()
    share = (factors - low) / (high - low)
    quantiles = np.linspace(0, 1, 11)
    assert np.abs(np.quantile(share, quantiles, axis=0) - quantiles[:, None]).max() < 0.015
    assert np.abs(np.corrcoef(share.T) - np.eye(4)).max() < 0.03


def test_jitter_orders_are_uniform(draws: tuple[np.ndarray, np.ndarray]) -> None:
    orders, counts = np.unique(draws[1], axis=0, return_counts=True)
    assert len(orders) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 49.7  # chi-squared, 23 degrees, p = 0.001


def test_jitter_without_hue_draws_three_operations() -> None:
    factors, order = color.draw_color_jitter(jax.random.key(1), 0.4, 0.4, 0.4, 0.0)
    assert factors.shape == (3,)
    assert sorted(order.tolist()) == [0, 1, 2]


def test_random_jitter_uses_what_it_draws(pixels: np.ndarray) -> None:
    key, strengths = jax.random.key(2), (0.4, 0.4, 0.4, 0.1)
    jitter = jax.jit(color.random_color_jitter, static_argnums=(2, 3, 4, 5))
    image = jitter(key, pixels.astype(np.float32), *strengths)
    factors, order = color.draw_color_jitter(key, *strengths)
    assert difference(image, pillow_jitter(pixels, np.asarray(factors), order.tolist())) <= 3
