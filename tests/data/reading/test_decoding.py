"""Decoding, compared with Pillow."""

import io
import struct
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.data.reading import decoding
from jssl.data.reading.decoding import decode, decode_into
from jssl.data.reading.in_flight import InFlight
from jssl.errors import JsslError
from tests.checks import refused
from tests.data.reading.pictures import RNG, encoded, picture


def test_a_smaller_image_keeps_its_pixels_in_the_top_left_corner() -> None:
    image = picture()
    pixels, size = decode(encoded(image), 32)
    assert tuple(size) == (12, 20)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[:12, :20], np.asarray(image))
    assert not pixels[12:].any()
    assert not pixels[:, 20:].any()


def test_what_cannot_be_decoded_leaves_the_array_as_it_was() -> None:
    pixels = np.full((4, 4, 3), 7, np.uint8)
    with pytest.raises(JsslError, match='cannot be decoded'):
        decode_into(b'no image', pixels)
    assert (pixels == 7).all()


@pytest.mark.parametrize('mode', ['L', 'LA', '1', 'P', 'RGBA', 'CMYK', 'YCbCr'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_every_mode_is_converted_as_pillow_does(mode: str, channels: int) -> None:
    image = picture(mode)
    form = 'PNG' if mode in ('L', 'LA', '1', 'P', 'RGBA') else 'TIFF'
    data = encoded(image, form)
    target = {1: 'L', 3: 'RGB', 4: 'RGBA'}[channels]
    expected = np.asarray(Image.open(io.BytesIO(data)).convert(target))
    pixels, _ = decode(data, 32, channels)
    assert pixels.shape == (32, 32, channels)
    np.testing.assert_array_equal(pixels[:12, :20], expected.reshape(12, 20, channels))


def test_an_adobe_cmyk_jpeg_becomes_rgb_as_in_opencv() -> None:
    """OpenCV's rule on the levels as an Adobe file stores them, inverted: k - (255 - c) k / 256."""
    data = encoded(picture('RGB').convert('CMYK'), 'JPEG', quality=100)
    assert b'Adobe' in data
    stored = 255 - np.asarray(Image.open(io.BytesIO(data)), np.int32)
    black = stored[..., 3:]
    expected = black - ((255 - stored[..., :3]) * black >> 8)
    assert np.abs(decode(data, 32)[0][:12, :20] - expected).max() <= 1


def test_a_transparent_palette_is_converted_without_a_warning() -> None:
    image = picture('P')
    data = encoded(image, transparency=bytes([0, 128] + [255] * 254))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        pixels, _ = decode(data, 32)
    np.testing.assert_array_equal(pixels[:12, :20], np.asarray(image.convert('RGB')))


@pytest.mark.parametrize('form', ['PNG', 'TIFF', 'PPM'])
def test_of_sixteen_bits_the_high_byte_stays(form: str) -> None:
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pixels, _ = decode(encoded(Image.fromarray(grey), form), 8)
    np.testing.assert_array_equal(pixels, np.repeat((grey // 256)[..., None], 3, -1))


@pytest.mark.parametrize('largest', [255, 65535, 2**31 - 1])
def test_thirty_two_bits_are_refused_and_not_black(largest: int) -> None:
    levels = Image.fromarray(np.array([[0, largest]], np.int32))
    with refused('signed or 32-bit integers, of which no range is known', 'replace the file'):
        decode(encoded(levels, 'TIFF'), 2)


def tiff(*tags: tuple[int, int, int]) -> bytes:
    """An uncompressed TIFF of 8 x 8 pixels with such (tag, type, value) added."""
    fields = {256: (3, 8), 257: (3, 8), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 512)}
    fields |= {277: (3, 1), 278: (3, 8), 279: (4, 512)}
    fields |= {tag: (kind, value) for tag, kind, value in tags}
    entries = [
        struct.pack('<HHII', tag, *form, value)
        for tag, (*form, value) in sorted(
            (tag, (kind, 1, value)) for tag, (kind, value) in fields.items()
        )
    ]
    head = struct.pack('<2sHIH', b'II', 42, 8, len(entries)) + b''.join(entries) + bytes(4)
    return head.ljust(512, b'\0') + bytes(range(256)) * 2


def test_signed_levels_are_refused() -> None:
    with refused('signed or 32-bit integers'):
        decode(tiff((258, 3, 16), (339, 3, 2), (279, 4, 128)), 8)


@pytest.mark.parametrize('tags', [[(258, 3, 64)], [(277, 3, 5)]], ids=['64 bits', 'five channels'])
def test_a_tiff_of_a_kind_that_cannot_be_held_is_called_that(
    tags: list[tuple[int, int, int]],
) -> None:
    decode(tiff(), 8)
    with refused(
        'it begins as a TIFF file, but its header is damaged or of a kind that is not read'
    ):
        decode(tiff(*tags), 8)


@pytest.mark.parametrize('kind', [bytearray, memoryview])
def test_what_is_like_bytes_is_an_image_file(kind: Callable[[bytes], Any]) -> None:
    data = encoded(picture())
    np.testing.assert_array_equal(decode(kind(data), 32)[0], decode(data, 32)[0])


def test_threads_that_decode_large_images_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four threads, and room for the pixels of one image and a half."""
    data, most, inside = encoded(picture(size=(40, 30))), [0], [0]
    lock = threading.Lock()
    resize = Image.Image.resize

    def counted(self: Image.Image, *args: Any, **options: Any) -> Image.Image:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        with lock:
            inside[0] -= 1
        return resize(self, *args, **options)

    monkeypatch.setattr(Image.Image, 'resize', counted)
    for bound, expected in ((1800, 1), (100, 1), (2400, 2)):
        monkeypatch.setattr(decoding, 'IN_FLIGHT', InFlight(bound))
        most[0] = 0
        with ThreadPoolExecutor(4) as pool:
            sizes = [tuple(size) for _, size in pool.map(lambda _: decode(data, 16), range(8))]
        assert sizes == [(12, 16)] * 8
        assert 1 <= most[0] <= expected


def test_an_image_that_fails_leaves_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, 'IN_FLIGHT', InFlight(240))
    whole = encoded(picture())
    for _ in range(3):
        with pytest.raises(JsslError):
            decode(whole[:-40], 32)
    assert tuple(decode(whole, 32).size) == (12, 20)


def test_floating_point_levels_are_refused() -> None:
    with refused('floating-point numbers, of which no range is known'):
        decode(encoded(picture('F'), 'TIFF'), 32)


def test_transparency_is_dropped_and_not_blended() -> None:
    image = picture('RGBA')
    image.putalpha(Image.fromarray(RNG.integers(0, 256, (12, 20), np.uint8)))
    grey = picture('L')
    color: Any = image.getpixel((3, 3))
    for data, expected in [
        (encoded(image), np.asarray(image)[..., :3]),
        (encoded(image, 'WEBP', lossless=True, exact=True), np.asarray(image)[..., :3]),
        (encoded(picture_of(image), transparency=color[:3]), np.asarray(image)),
        (encoded(grey, transparency=grey.getpixel((0, 0))), np.asarray(grey)[..., None]),
    ]:
        pixels, _ = decode(data, 32)
        np.testing.assert_array_equal(
            pixels[:12, :20], np.broadcast_to(expected[..., :3], (12, 20, 3))
        )
    np.testing.assert_array_equal(decode(encoded(image), 32, 4)[0][:12, :20], np.asarray(image))


def picture_of(image: Image.Image) -> Image.Image:
    """The colours of a transparent picture."""
    return Image.fromarray(np.ascontiguousarray(np.asarray(image)[..., :3]))


def test_opaque_images_have_full_alpha() -> None:
    assert (decode(encoded(picture()), 32, channels=4)[0][:12, :20, 3] == 255).all()


@pytest.mark.parametrize('form', ['GIF', 'WEBP', 'PNG', 'TIFF'])
def test_of_an_animation_the_first_frame_is_decoded(form: str) -> None:
    frames = [Image.new('RGB', (6, 5), (40 * grey, 0, 0)) for grey in range(1, 4)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    pixels, size = decode(data, 6)
    assert tuple(size) == (5, 6)
    assert np.abs(pixels[:5].astype(int) - [40, 0, 0]).max() <= 2


@pytest.mark.parametrize(('shape', 'size'), [((100, 60), (30, 50)), ((60, 100), (50, 30))])
def test_a_larger_image_is_shrunk_to_fit(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = picture(size=shape)
    pixels, got = decode(encoded(image), 50)
    assert tuple(got) == size
    expected = image.resize(size[::-1], Image.Resampling.BILINEAR)
    difference = np.abs(pixels[: size[0], : size[1]] - np.asarray(expected, np.float64))
    assert difference.mean() < 1.5
    assert difference.max() < 8
    assert not pixels[size[0] :].any()
    assert not pixels[:, size[1] :].any()


def test_a_large_jpeg_is_shrunk_like_the_fully_decoded_one() -> None:
    image = picture(size=(640, 400))
    data = encoded(image, 'JPEG', quality=95)
    pixels, size = decode(data, 80)
    assert tuple(size) == (50, 80)
    whole = Image.open(io.BytesIO(data)).resize((80, 50), Image.Resampling.BILINEAR)
    assert np.abs(pixels[:50] - np.asarray(whole, np.float64)).mean() < 2


@pytest.mark.parametrize('subsampling', ['4:4:4', '4:2:2', '4:2:0'])
@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'quality': 30}])
def test_the_fast_decoder_gives_pillow_s_pixels(subsampling: str, options: dict[str, Any]) -> None:
    pytest.importorskip('simplejpeg')
    noise = np.random.default_rng(0).integers(0, 256, (53, 75, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), 'JPEG', subsampling=subsampling, **options)
    fast = decoding._decode_fast(data, 75)
    np.testing.assert_array_equal(fast, Image.open(io.BytesIO(data)))
    assert decoding._decode_fast(data, 74) is None  # Pillow shrinks while it decodes
    assert decoding._decode_fast(data[:-20], 75) is None  # Pillow says what is wrong


def test_what_may_be_turned_and_other_colours_are_left_to_pillow() -> None:
    pytest.importorskip('simplejpeg')
    exif = Image.Exif()
    exif[decoding.ORIENTATION] = 6
    assert decoding._decode_fast(encoded(picture(), 'JPEG', exif=exif), 75) is None
    for mode in ('L', 'CMYK'):
        assert decoding._decode_fast(encoded(picture(mode), 'JPEG'), 75) is None


def test_a_very_long_image_keeps_at_least_one_row() -> None:
    assert tuple(decode(encoded(picture(size=(400, 1))), 16).size) == (1, 16)


@pytest.mark.parametrize('shape', [(12, 20), (12, 20, 1), (12, 20, 3), (12, 20, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    array = RNG.integers(0, 256, shape, np.uint8)
    pixels, size = decode(array, 32)
    colours = array[..., None] if array.ndim == 2 else array
    assert tuple(size) == (12, 20)
    np.testing.assert_array_equal(pixels[:12, :20], np.broadcast_to(colours[..., :3], (12, 20, 3)))


def test_a_larger_array_is_shrunk_as_its_file_would_be() -> None:
    image = picture(size=(100, 60))
    np.testing.assert_array_equal(decode(np.asarray(image), 50)[0], decode(encoded(image), 50)[0])


@pytest.mark.parametrize(
    'array',
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_an_array_that_is_no_image_is_refused(array: np.ndarray) -> None:
    with pytest.raises(JsslError, match=r'array of shape \(4.*give uint8 of shape'):
        decode(array, 8)


def test_a_mode_that_pillow_cannot_convert_is_refused() -> None:
    lab = encoded(picture('RGB').convert('LAB'), 'TIFF')
    with pytest.raises(JsslError, match='cannot be decoded: conversion from LAB'):
        decode(lab, 32, channels=1)


def test_two_channels_are_refused() -> None:
    with pytest.raises(JsslError, match='channels is 2; set it to 3'):
        decode(encoded(picture()), 32, channels=2)


def test_an_empty_file_is_refused() -> None:
    with refused('(0 bytes)', 'the file is empty', 'replace the file'):
        decode(b'', 8)


@pytest.mark.parametrize('data', [b'<html>404 Not Found</html>', b'%!PS-Adobe-3.0 EPSF-3.0\n'])
def test_what_is_no_image_is_refused_with_how_it_begins(data: bytes) -> None:
    with refused('it is none of JPEG, PNG', f'it begins with {data[:12]!r}'):
        decode(data, 8)
