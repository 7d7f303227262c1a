"""The blur against Pillow's."""

import math
from functools import partial

import jax
import numpy as np
from PIL import Image, ImageFilter

from jssl.augment.ops.blur import gaussian_blur
from tests.augment.ops.levels import noise, worst


def blurred(pixels: np.ndarray, sigma: float) -> Image.Image:
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma))


def test_blur_equals_pillow() -> None:
    pixels = noise(20, 28, 3)
    sigmas = np.array([0.1, 0.37, 0.5, 0.8, 1.0, math.sqrt(2), 1.5, 1.73, 2.0, 3.3], np.float32)
    blur = partial(gaussian_blur, largest_sigma=3.3)
    images = jax.jit(jax.vmap(blur, (None, 0)))(pixels.astype(np.float32), sigmas)
    for sigma, image in zip(sigmas, images, strict=True):
        assert worst(image, blurred(pixels, float(sigma))) == 0, sigma


def test_blur_equals_pillow_within_one_level_for_any_sigma() -> None:
    pixels = noise(20, 28, 3, seed=1)
    sigmas = np.random.default_rng(2).uniform(0.1, 2.0, 200).astype(np.float32)
    images = jax.jit(jax.vmap(gaussian_blur, (None, 0)))(pixels.astype(np.float32), sigmas)
    expected = np.stack([np.asarray(blurred(pixels, float(sigma))) for sigma in sigmas])
    assert worst(images, expected) <= 1
    assert np.mean(np.asarray(images) != expected) < 1e-3


def test_blur_of_an_image_smaller_than_its_kernel_and_beyond_the_bound() -> None:
    pixels = noise(2, 3, 3)
    image = jax.jit(gaussian_blur)(pixels.astype(np.float32), 5.0)
    assert worst(image, blurred(pixels, 2.0)) == 0
