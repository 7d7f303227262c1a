"""Decoding: one image, encoded or as an array, becomes one canvas of the batch."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jssl.errors import JsslError

MODES = {1: 'L', 3: 'RGB'}


def decode(
    image: bytes | NDArray[np.uint8], canvas: int, channels: int = 3
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Puts an image into the top-left corner of a black square.

    An image that is larger than the square is shrunk, antialiased and with its aspect ratio kept,
    until its long side fits. Grey, palette, transparent, CMYK and 16-bit images are converted;
    transparency is dropped and the EXIF orientation not applied, as in torchvision's image folder.

    Args:
      image: the bytes of an image file, or uint8 (H, W) or (H, W, C).
      canvas: the side of the square in pixels.
      channels: 3 for RGB, 1 for grey.

    Returns:
      uint8 (canvas, canvas, channels), and the image's (height, width) on it.

    Raises:
      JsslError: the bytes are no readable image, or the array is no image.
    """
    if channels not in MODES:
        raise JsslError(f'channels is {channels}; set it to 3 (RGB) or 1 (grey).')
    mode = MODES[channels]
    if isinstance(image, bytes):
        picture = _shrink(_read_bytes(image, canvas, mode), canvas)
    else:
        picture = _shrink(_read_array(image, mode), canvas)
    pixels = np.zeros((canvas, canvas, channels), np.uint8)
    height, width = picture.height, picture.width
    pixels[:height, :width] = np.asarray(picture).reshape(height, width, channels)
    return pixels, (height, width)


def _read_bytes(data: bytes, canvas: int, mode: str) -> Image.Image:
    """The decoded image; a JPEG of twice the canvas or more is decoded at a half, a quarter, …"""
    try:
        picture = Image.open(io.BytesIO(data))
        picture.draft(None, _fitting(picture.size, canvas))
        return _convert(picture, mode)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, zlib.error…
        raise JsslError(
            f'the image ({len(data)} bytes) cannot be decoded: {error}; '
            'replace the file or leave it out.'
        ) from None


def _read_array(array: NDArray[np.uint8], mode: str) -> Image.Image:
    """The array as a Pillow image."""
    array = np.asarray(array)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise JsslError(
            f'the image is an array of shape {array.shape} and type {array.dtype}; give uint8 of '
            'shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or the bytes of an image file.'
        )
    pixels = array[..., 0] if array.ndim == 3 and channels == 1 else array
    return _convert(Image.fromarray(pixels), mode)


def _convert(picture: Image.Image, mode: str) -> Image.Image:
    if picture.mode.startswith('I;16'):  # Pillow would clip at 255 instead of scaling
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if 'transparency' in picture.info:  # without this step Pillow warns about every such palette
        picture = picture.convert('RGBA')
    return picture.convert(mode)


def _shrink(picture: Image.Image, canvas: int) -> Image.Image:
    size = _fitting(picture.size, canvas)
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _fitting(size: tuple[int, int], canvas: int) -> tuple[int, int]:
    """The size, reduced so that the longer side is at most `canvas`."""
    scale = min(1.0, canvas / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
