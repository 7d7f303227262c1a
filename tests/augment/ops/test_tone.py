"""Tone against Pillow; the PCA noise against its definition in NumPy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jssl.augment.ops import tone

EQUALIZE = jax.jit(tone.equalize)
AUTO_CONTRAST = jax.jit(tone.auto_contrast)


def noise(low: int, high: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (60, 50, 3), dtype=np.uint8)


def skewed() -> np.ndarray:
    """One channel mostly black, one of two levels, one of a single level."""
    image = (np.random.default_rng(1).random((60, 50, 3)) ** 6 * 256).astype(np.uint8)
    image[..., 1] = np.where(image[..., 1] > 9, 201, 17)
    image[..., 2] = 93
    return image


IMAGES = [noise(0, 256), noise(90, 131), skewed(), np.zeros((60, 50, 3), np.uint8)]


def worst(image: jax.Array, reference: object) -> float:
    levels = np.asarray(image)
    assert levels.dtype == np.float32
    assert np.array_equal(levels, np.round(levels))
    return float(np.abs(levels - np.asarray(reference, np.float32)).max())


@pytest.mark.parametrize('index', range(len(IMAGES)))
def test_equalize_equals_pillow(index: int) -> None:
    pixels = IMAGES[index]
    image = EQUALIZE(pixels.astype(np.float32))
    assert worst(image, ImageOps.equalize(Image.fromarray(pixels))) == 0


def test_equalize_of_few_pixels_with_a_step_of_zero_keeps_them() -> None:
    pixels = noise(0, 256)[:4, :5]
    image = tone.equalize(jnp.asarray(pixels, jnp.float32))
    assert worst(image, ImageOps.equalize(Image.fromarray(pixels))) == 0
    assert worst(image, pixels) == 0


def test_equalize_works_under_vmap_and_for_one_channel() -> None:
    batch = np.stack(IMAGES)
    images = jax.jit(jax.vmap(tone.equalize))(batch[..., 2:].astype(np.float32))
    for pixels, image in zip(batch, images, strict=True):
        grey = Image.fromarray(pixels[..., 2])
        assert worst(image[..., 0], ImageOps.equalize(grey)) == 0


@pytest.mark.parametrize('index', range(len(IMAGES)))
def test_auto_contrast_equals_pillow_within_one_level(index: int) -> None:
    pixels = IMAGES[index]
    image = AUTO_CONTRAST(pixels.astype(np.float32))
    assert worst(image, ImageOps.autocontrast(Image.fromarray(pixels))) <= 1


def test_auto_contrast_spans_all_levels_of_each_channel() -> None:
    image = np.asarray(AUTO_CONTRAST(noise(90, 131).astype(np.float32)))
    assert image.min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert image.max(axis=(0, 1)).tolist() == [255, 255, 255]


def test_invert_equals_pillow() -> None:
    pixels = IMAGES[0]
    image = tone.invert(jnp.asarray(pixels, jnp.float32))
    assert worst(image, ImageOps.invert(Image.fromarray(pixels))) == 0


def test_posterize_equals_pillow_for_any_number_of_bits() -> None:
    bits = np.arange(9)
    images = jax.jit(jax.vmap(tone.posterize, (None, 0)))(IMAGES[0].astype(np.float32), bits)
    assert worst(images[0], np.zeros_like(IMAGES[0])) == 0  # for which Pillow has no number
    for count, image in list(zip(bits, images, strict=True))[1:]:
        assert worst(image, ImageOps.posterize(Image.fromarray(IMAGES[0]), int(count))) == 0


def test_sharpness_equals_pillow_within_one_level() -> None:
    factors = np.array([0, 0.1, 0.73, 1, 1.5, 1.9, 4], np.float32)
    sharpen = jax.jit(jax.vmap(tone.adjust_sharpness, (None, 0)))
    images = sharpen(IMAGES[0].astype(np.float32), factors)
    for factor, image in zip(factors, images, strict=True):
        enhanced = ImageEnhance.Sharpness(Image.fromarray(IMAGES[0])).enhance(float(factor))
        assert worst(image, enhanced) <= 1, factor
    smooth = ImageEnhance.Sharpness(Image.fromarray(IMAGES[0])).enhance(0.0)
    assert worst(images[0], smooth) == 0
    assert worst(images[3], IMAGES[0]) == 0


@pytest.mark.parametrize('shape', [(2, 7, 3), (7, 1, 3)])
def test_sharpness_of_an_image_that_is_all_border_keeps_it(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = tone.adjust_sharpness(jnp.asarray(pixels, jnp.float32), 1.9)
    assert worst(image, ImageEnhance.Sharpness(Image.fromarray(pixels)).enhance(1.9)) == 0


@pytest.fixture(scope='module')
def light() -> Callable[..., jax.Array]:
    return jax.jit(jax.vmap(tone.lighting, (0, None, None)))


def test_lighting_shifts_colours_with_the_covariance_of_imagenet(
    light: Callable[..., jax.Array],
) -> None:
    keys = jax.random.split(jax.random.key(0), 20_000)
    shifts = np.asarray(light(keys, jnp.full((1, 2, 3), 128.0), 0.1)) - 128
    assert np.array_equal(shifts[:, 0, 0], shifts[:, 0, 1])
    components = np.array(tone.PCA_VECTORS) * np.array(tone.PCA_DEVIATIONS) * 0.1
    expected = components @ components.T
    found = np.cov(shifts[:, 0, 0].T)
    # Five standard errors; truncation to whole levels adds a twelfth to each variance.
    np.testing.assert_allclose(found, expected + np.eye(3) / 12, atol=0.05 * expected.max())
    np.testing.assert_allclose(shifts.mean(axis=(0, 1, 2)), -0.5, atol=0.12)


def test_lighting_has_the_published_components() -> None:
    vectors = np.array(tone.PCA_VECTORS)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)
    # On the scale of 0 to 1 the deviations are 0.2175, 0.0188 and 0.0045; the first component is
    # brightness, the second red against blue, the third green against both.
    np.testing.assert_allclose(np.array(tone.PCA_DEVIATIONS) / 255, [0.2175, 0.0188, 0.0045])
    assert np.sign(vectors).tolist() == [[-1, 1, 1], [-1, -1, -1], [-1, -1, 1]]


def test_lighting_clips_and_keeps_whole_levels(light: Callable[..., jax.Array]) -> None:
    keys = jax.random.split(jax.random.key(1), 50)
    images = np.asarray(light(keys, IMAGES[0].astype(np.float32), 3.0))
    assert images.min() == 0
    assert images.max() == 255
    assert np.array_equal(images, np.round(images))
    assert np.array_equal(light(keys, IMAGES[0].astype(np.float32), 0.0)[0], IMAGES[0])
