"""Flip, rotation, shear and translation against Pillow's own transforms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps

from jssl.augment.ops import geometry
from tests.augment.ops.levels import noise
from tests.checks import refused

FILL = (124.0, 116.0, 104.0)
PIXELS = np.random.default_rng(0).integers(0, 256, (37, 44, 3), dtype=np.uint8)
MODES = {
    'nearest': Image.Resampling.NEAREST,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
}
ANGLES = np.array([0, 2, -1.3, 30, -30, 45.5, 90, 180, 200.3, -90, 719, 0.01], np.float32)


def assert_pillow(image: jax.Array, reference: Image.Image, case: object) -> None:
    """Within one level, but for one pixel in 500 that lies on a boundary, see `affine`."""
    levels = np.asarray(image)
    assert levels.dtype == np.float32
    assert np.array_equal(levels, np.round(levels))
    difference = np.abs(levels - np.asarray(reference, np.float32))
    assert np.mean(difference > 0) < 0.02, case
    assert np.mean(difference > 1) < 0.002, case


@pytest.fixture(scope='module', params=list(MODES))
def interpolation(request: pytest.FixtureRequest) -> str:
    return request.param


def test_rotation_equals_pillow(interpolation: str) -> None:
    turn = partial(geometry.rotate, interpolation=interpolation, fill=FILL)
    images = jax.jit(jax.vmap(turn, (None, 0)))(PIXELS.astype(np.float32), ANGLES)
    picture = Image.fromarray(PIXELS)
    for angle, image in zip(ANGLES, images, strict=True):
        expected = picture.rotate(float(angle), MODES[interpolation], fillcolor=(124, 116, 104))
        assert_pillow(image, expected, angle)


def test_shear_and_translation_equal_pillow(interpolation: str) -> None:
    cases = [
        (geometry.shear_matrix(x=0.27), (1, 0.27, 0, 0, 1, 0)),
        (geometry.shear_matrix(x=-0.3), (1, -0.3, 0, 0, 1, 0)),
        (geometry.shear_matrix(y=0.13), (1, 0, 0, 0.13, 1, 0)),
        (geometry.translation_matrix(x=17.82), (1, 0, 17.82, 0, 1, 0)),
        (geometry.translation_matrix(x=-3), (1, 0, -3, 0, 1, 0)),
        (geometry.translation_matrix(y=-14.985), (1, 0, 0, 0, 1, -14.985)),
        (geometry.translation_matrix(x=100), (1, 0, 100, 0, 1, 0)),
        (geometry.translation_matrix(), (1, 0, 0, 0, 1, 0)),
    ]
    move = partial(geometry.affine, interpolation=interpolation, fill=FILL)
    matrices = jnp.stack([matrix for matrix, _ in cases])
    images = jax.jit(jax.vmap(move, (None, 0)))(PIXELS.astype(np.float32), matrices)
    picture = Image.fromarray(PIXELS)
    for image, (_, numbers) in zip(images, cases, strict=True):
        expected = picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            numbers,
            MODES[interpolation],
            fillcolor=(124, 116, 104),
        )
        assert_pillow(image, expected, numbers)
    assert np.array_equal(images[-1], PIXELS)
    assert np.array_equal(images[-2], np.broadcast_to(np.array(FILL), PIXELS.shape))


def test_rotation_defaults_to_nearest_pixels_on_black() -> None:
    image = geometry.rotate(jnp.asarray(PIXELS, jnp.float32), 30.0)
    assert_pillow(image, Image.fromarray(PIXELS).rotate(30.0), 'defaults')
    assert np.asarray(image)[0, 0].tolist() == [0, 0, 0]


def test_one_channel_is_transformed_too() -> None:
    image = geometry.rotate(jnp.asarray(PIXELS[..., :1], jnp.float32), 12.0, fill=7.0)
    expected = Image.fromarray(PIXELS[..., 0]).rotate(12.0, fillcolor=7)
    assert_pillow(image[..., 0], expected, 'grey')


def test_unknown_interpolation_is_refused() -> None:
    with refused("interpolation is 'bicubik'", "Did you mean 'bicubic'?"):
        geometry.rotate(jnp.asarray(PIXELS, jnp.float32), 2.0, 'bicubik')


def test_quarter_turns_are_clockwise_and_exact() -> None:
    square = PIXELS[:8, :8].astype(np.float32)
    quarters = np.arange(-1, 6)
    turned = jax.jit(jax.vmap(geometry.rotate_quarters, (None, 0)))(square, quarters)
    for quarter, image in zip(quarters, turned, strict=True):
        assert np.array_equal(image, np.rot90(square, -int(quarter))), quarter
    assert np.array_equal(geometry.rotate_quarters(jnp.asarray(square), 3), np.rot90(square, -3))


def test_quarter_turn_of_an_oblong_image_is_refused() -> None:
    with refused('37 x 44', 'square'):
        geometry.rotate_quarters(jnp.asarray(PIXELS), 1)


def test_flip_equals_pillow() -> None:
    pixels = noise(5, 8, 3)
    mirrored = ImageOps.mirror(Image.fromarray(pixels))
    assert np.array_equal(geometry.flip_horizontal(jnp.asarray(pixels)), np.asarray(mirrored))
