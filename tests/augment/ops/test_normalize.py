"""Normalisation against float64, and back."""

import jax.numpy as jnp
import numpy as np

from jssl.augment.ops.normalize import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    denormalize,
    normalize,
    standardize,
)
from tests.augment.ops.levels import noise


def test_normalize_equals_float64() -> None:
    pixels = noise(6, 4, 3)
    expected = (pixels - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    image = normalize(jnp.asarray(pixels, jnp.float32))
    np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-6)


def test_standardize_equals_float64_and_knows_no_light() -> None:
    pixels = noise(6, 4, 3)
    expected = (pixels - pixels.mean()) / np.sqrt(pixels.var() + 1)
    np.testing.assert_allclose(standardize(jnp.asarray(pixels, jnp.float32)), expected, atol=1e-5)
    dimmed = standardize(jnp.asarray(30 + 0.5 * pixels, jnp.float32))
    np.testing.assert_allclose(dimmed, expected, atol=1e-3)
    np.testing.assert_array_equal(standardize(jnp.full((2, 2, 3), 7.0)), 0)


def test_denormalize_undoes_normalize_within_the_levels() -> None:
    pixels = noise(6, 4, 3)
    image = normalize(jnp.asarray(pixels, jnp.float32))
    np.testing.assert_allclose(
        denormalize(image, IMAGENET_MEAN, IMAGENET_STD),
        pixels,
        atol=1e-3,
    )
    np.testing.assert_array_equal(denormalize([[-9.0, 1.0, 9.0]], 10, 40), [[0, 50, 255]])
