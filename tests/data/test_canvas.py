"""Decoding, compared with Pillow."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from jssl.data.canvas import decode
from jssl.errors import JsslError

RNG = np.random.default_rng(0)


def encoded(picture: Image.Image, form: str = 'PNG', **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def picture(mode: str = 'RGB', size: tuple[int, int] = (20, 12)) -> Image.Image:
    """A smooth picture with some noise, so that shrinking it well or badly makes a difference."""
    across = np.linspace(0, 200, size[0])[None, :, None] + np.zeros((size[1], 1, 3))
    pixels = across + RNG.uniform(0, 55, (size[1], size[0], 3))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def test_a_smaller_image_keeps_its_pixels_in_the_top_left_corner():
    image = picture()
    pixels, size = decode(encoded(image), 32)
    assert size == (12, 20)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[:12, :20], np.asarray(image))
    assert not pixels[12:].any()
    assert not pixels[:, 20:].any()


@pytest.mark.parametrize('mode', ['L', 'LA', '1', 'P', 'RGBA', 'CMYK', 'YCbCr'])
@pytest.mark.parametrize('channels', [1, 3])
def test_every_mode_is_converted_as_pillow_does(mode, channels):
    image = picture(mode)
    form = 'PNG' if mode in ('L', 'LA', '1', 'P', 'RGBA') else 'TIFF'
    data = encoded(image, form)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert({1: 'L', 3: 'RGB'}[channels]))
    pixels, _ = decode(data, 32, channels)
    assert pixels.shape == (32, 32, channels)
    np.testing.assert_array_equal(pixels[:12, :20], expected.reshape(12, 20, channels))


def test_a_cmyk_jpeg_becomes_rgb():
    data = encoded(picture('CMYK'), 'JPEG')
    expected = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))
    np.testing.assert_array_equal(decode(data, 32)[0][:12, :20], expected)


def test_a_transparent_palette_is_converted_without_a_warning():
    image = picture('P')
    data = encoded(image, transparency=bytes([0, 128] + [255] * 254))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        pixels, _ = decode(data, 32)
    np.testing.assert_array_equal(pixels[:12, :20], np.asarray(image.convert('RGB')))


def test_sixteen_bits_are_scaled_to_eight():
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pixels, _ = decode(encoded(Image.fromarray(grey)), 8)
    np.testing.assert_array_equal(pixels, np.repeat((grey // 256)[..., None], 3, -1))


@pytest.mark.parametrize(('shape', 'size'), [((100, 60), (30, 50)), ((60, 100), (50, 30))])
def test_a_larger_image_is_shrunk_to_fit(shape, size):
    image = picture(size=shape)
    pixels, got = decode(encoded(image), 50)
    assert got == size
    expected = image.resize(size[::-1], Image.Resampling.BILINEAR)
    difference = np.abs(pixels[: size[0], : size[1]] - np.asarray(expected, np.float64))
    assert difference.mean() < 1.5
    assert difference.max() < 8
    assert not pixels[size[0] :].any()
    assert not pixels[:, size[1] :].any()


def test_a_large_jpeg_is_shrunk_like_the_fully_decoded_one():
    image = picture(size=(640, 400))
    data = encoded(image, 'JPEG', quality=95)
    pixels, size = decode(data, 80)
    assert size == (50, 80)
    whole = Image.open(io.BytesIO(data)).resize((80, 50), Image.Resampling.BILINEAR)
    assert np.abs(pixels[:50] - np.asarray(whole, np.float64)).mean() < 2


def test_a_very_long_image_keeps_at_least_one_row():
    assert decode(encoded(picture(size=(400, 1))), 16)[1] == (1, 16)


@pytest.mark.parametrize('shape', [(12, 20), (12, 20, 1), (12, 20, 3), (12, 20, 4)])
def test_arrays(shape):
    array = RNG.integers(0, 256, shape, np.uint8)
    pixels, size = decode(array, 32)
    colours = array[..., None] if array.ndim == 2 else array
    assert size == (12, 20)
    np.testing.assert_array_equal(pixels[:12, :20], np.broadcast_to(colours[..., :3], (12, 20, 3)))


def test_a_larger_array_is_shrunk_as_its_file_would_be():
    image = picture(size=(100, 60))
    np.testing.assert_array_equal(decode(np.asarray(image), 50)[0], decode(encoded(image), 50)[0])


@pytest.mark.parametrize(
    'array',
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)],
)
def test_an_array_that_is_no_image_is_refused(array):
    with pytest.raises(JsslError, match=r'array of shape \(4.*give uint8 of shape'):
        decode(array, 8)


def test_a_mode_that_pillow_cannot_convert_is_refused():
    lab = encoded(picture('RGB').convert('LAB'), 'TIFF')
    with pytest.raises(JsslError, match='cannot be decoded: conversion from LAB'):
        decode(lab, 32, channels=1)


def test_two_channels_are_refused():
    with pytest.raises(JsslError, match='channels is 2; set it to 3'):
        decode(encoded(picture()), 32, channels=2)


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'GIF', 'BMP', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('keep', [0.0, 0.1, 0.5])
def test_broken_bytes_are_refused(form, keep):
    data = encoded(picture(size=(64, 64)), form)
    with pytest.raises(JsslError, match=r'cannot be decoded: .*replace the file'):
        decode(data[: int(keep * len(data))], 64)
