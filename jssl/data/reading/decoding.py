"""Decoding: one image, encoded or as an array, becomes one canvas of the batch."""

import contextlib
import functools
import importlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jssl.data.canvas import Canvas
from jssl.data.reading.in_flight import InFlight
from jssl.errors import JsslError

MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}
# Only these are looked for: Pillow would hand others, such as EPS, to programs outside.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM')
JPEG, EXIF = b'\xff\xd8\xff', b'Exif\0\0'
BEGINS = {
    'JPEG': (JPEG,),
    'PNG': (b'\x89PNG',),
    'WEBP': (b'RIFF',),
    'BMP': (b'BM',),
    'TIFF': (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'),
    'GIF': (b'GIF8',),
    'PPM': (b'P5', b'P6'),
}
ANY_SIDE = 2**31
IN_FLIGHT = InFlight(2**27)  # pixels, of up to 8 bytes each while they are converted
XMP = ('xmp', 'XML:com.adobe.xmp')  # where Pillow keeps what it takes an orientation from
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What a thread frees in pieces below 32 MB the C library may keep for that thread: with Pillow's
# own 16 MB each would hold on to half of a large image. Larger pieces go back to the system.
if 'PILLOW_BLOCK_SIZE' not in os.environ:
    Image.core.set_block_size(2**26)


def check_channels(channels: int) -> None:
    """Raises a `JsslError` for a number of channels that no canvas has."""
    if channels not in MODES:
        raise JsslError(f'channels is {channels}; set it to 3 (RGB), 1 (grey) or 4 (RGBA).')


def decode(image: bytes | NDArray[np.uint8], canvas: int, channels: int = 3) -> Canvas:
    """Puts an image into the top-left corner of a black square.

    An image that is larger than the square is shrunk, antialiased and with its aspect ratio kept,
    until its long side fits. The pixels are those that OpenCV gives MMSelfSup: turned upright as
    EXIF says (XMP is not asked), grey and palette and CMYK converted to RGB, transparency dropped
    and not blended, the high byte of 16-bit levels, the first frame of an animation.

    Args:
      image: the bytes of an image file (bytearray and memoryview too), or uint8 (H, W) or
        (H, W, C).
      canvas: the side of the square in pixels.
      channels: 3 for RGB, 1 for grey, 4 for RGBA.

    Returns:
      Its pixels uint8 (canvas, canvas, channels), its size int32 (2,).

    Raises:
      JsslError: the bytes are no readable image, a truncated one, one of more than 179 million
        pixels (twice Pillow's MAX_IMAGE_PIXELS) or one whose levels have no known range; or the
        array is no image.
    """
    pixels = np.empty((canvas, canvas, channels), np.uint8)
    return Canvas(pixels, np.array(decode_into(image, pixels), np.int32))


def decode_into(image: bytes | NDArray[np.uint8], pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """As `decode`, into an array (canvas, canvas, channels) that is there, such as a batch's row.

    Returns:
      The height and the width of the image; nothing is written where it cannot be decoded.
    """
    image, (canvas, _, channels) = plain_bytes(image), pixels.shape
    levels = _decode_fast(image, canvas) if channels == 3 and isinstance(image, bytes) else None
    if levels is None:
        with to_picture(image, channels, canvas) as picture:
            levels = np.asarray(picture)
    height, width = levels.shape[:2]
    pixels[:height, :width] = levels.reshape(height, width, channels)
    pixels[:height, width:] = 0
    pixels[height:] = 0
    return height, width


def plain_bytes(image: Any) -> Any:
    """What is like bytes, as bytes; anything else as it is."""
    return bytes(image) if isinstance(image, bytearray | memoryview) else image


def _decode_fast(data: bytes, canvas: int) -> NDArray[np.uint8] | None:
    """The same levels from the extra `fast`, for a plain JPEG that fits; None leaves it to Pillow.

    So is everything that may have to be turned, and what that decoder objects to: both ways refuse
    the same files. It is half as fast again, and spares the way through Pillow's own image.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None or not data.startswith(JPEG) or EXIF in data:
        return None
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
        if colors != 'YCbCr' or max(height, width) > canvas:
            return None
        return simplejpeg.decode_jpeg(data, 'RGB')
    except ValueError:
        return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While it is open, Pillow prints no warnings: what matters is said in sentences of ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', module='PIL')
        yield


@functools.cache
def _simplejpeg() -> Any:
    """The module, or None where the extra `fast` is not installed."""
    try:
        return importlib.import_module('simplejpeg')
    except ImportError:
        return None


@contextlib.contextmanager
def to_picture(
    image: bytes | NDArray[np.uint8], channels: int = 3, longest: int = ANY_SIDE
) -> Iterator[Image.Image]:
    """The image that `decode` puts on its canvas, as one of Pillow's; `longest` bounds its sides.

    Its pixels are in flight until the context is left: threads that would decode more than
    `IN_FLIGHT` lets them wait here.

    Raises:
      JsslError: as `decode`.
    """
    check_channels(channels)
    image = plain_bytes(image)
    with contextlib.ExitStack() as held:
        if isinstance(image, bytes):
            yield _read_bytes(image, longest, MODES[channels], held)
        else:
            yield _shrink(_read_array(image, MODES[channels]), longest)


def _read_bytes(data: bytes, canvas: int, mode: str, held: contextlib.ExitStack) -> Image.Image:
    """The decoded image; a JPEG of twice the canvas or more is decoded at a half, a quarter, …"""
    try:
        file = Image.open(io.BytesIO(data), formats=FORMATS)
        file.draft(None, _fitting(file.size, canvas))
        held.enter_context(IN_FLIGHT.taken(file.width * file.height))
        _forget_xmp(file)
        file.load()  # some formats know their orientation only now, and some apply it
        turn = UPRIGHT.get(_orientation(file))
        picture = _shrink(_convert(file, mode), canvas)
        return picture if turn is None else picture.transpose(turn)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, zlib.error…
        raise JsslError(
            f'the image ({len(data)} bytes) cannot be decoded: {_reason(data, error)}; '
            'replace the file or leave it out.'
        ) from None


def _reason(data: bytes, error: Exception) -> str:
    """What is wrong, in words; Pillow names an object in memory where no format fits."""
    if not data:
        return 'the file is empty'
    kind = next((form for form, begins in BEGINS.items() if data.startswith(begins)), None)
    if kind and isinstance(error, Image.UnidentifiedImageError):
        return (
            f'it begins as a {kind} file, but its header is damaged or of a kind that is not read, '
            'such as colours of more than 16 bits or five channels; save it as PNG'
        )
    if isinstance(error, Image.UnidentifiedImageError):
        return f'it is none of {", ".join(FORMATS)}, for it begins with {data[:12]!r}'
    return ' '.join(str(error).split()) or type(error).__name__


def _forget_xmp(file: Image.Image) -> None:
    for key in XMP:
        file.info.pop(key, None)


def _orientation(picture: Image.Image) -> int:
    _forget_xmp(picture)  # of a PNG it may stand behind the pixels
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not damage the pixels
        return 1


def checked_array(image: Any) -> NDArray[np.uint8]:
    """What is no encoded image, as an array that is one.

    Raises:
      JsslError: another type or shape.
    """
    array = np.asarray(image)
    channels = array.shape[2] if array.ndim == 3 else 1
    shaped = array.ndim in (2, 3) and channels in (1, 3, 4) and array.size > 0
    if array.dtype != np.uint8 or not shaped:
        raise JsslError(
            f'the image is an array of shape {array.shape} and type {array.dtype}; give uint8 of '
            'shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or the bytes of an image file.'
        )
    return array


def _read_array(image: Any, mode: str) -> Image.Image:
    """The array as a Pillow image."""
    array = checked_array(image)
    pixels = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return _convert(Image.fromarray(pixels), mode)


def _convert(picture: Image.Image, mode: str) -> Image.Image:
    if picture.mode == 'I' and picture.format == 'TIFF':  # 32 bits, or 16 with a sign
        raise JsslError('its levels are signed or 32-bit integers, of which no range is known')
    if picture.mode == 'I' or picture.mode.startswith('I;16'):  # Pillow would clip, not scale
        picture = _high_byte(picture)
    if picture.mode == 'F':
        raise JsslError('its pixels are floating-point numbers, of which no range is known')
    if 'transparency' in picture.info:  # without this step Pillow warns about every such palette
        picture = picture.convert('RGBA')
    return picture if picture.mode == mode else picture.convert(mode)  # which would copy it


def _high_byte(picture: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))


def _shrink(picture: Image.Image, canvas: int) -> Image.Image:
    size = _fitting(picture.size, canvas)
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _fitting(size: tuple[int, int], canvas: int) -> tuple[int, int]:
    """The size, reduced so that the longer side is at most `canvas`."""
    scale = min(1.0, canvas / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
