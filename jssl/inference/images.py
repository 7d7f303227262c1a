"""Images as people hand them over, put on canvases: arrays, pictures, paths, one or many."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from jssl.data.canvas import Canvas
from jssl.data.reading.decoding import decode
from jssl.data.sources.folder import read_file
from jssl.errors import JsslError, in_words, show
from jssl.paths import expanded

CHANNELS = (1, 3, 4)
PLAIN = ('L', 'RGB', 'RGBA')  # modes of Pillow that are arrays of 8-bit levels
NO_LEVELS = ('I', 'F')  # how the modes begin whose levels have no known range
FORMS = (
    'give uint8 levels from 0 to 255 or floats from 0 to 1, as (H, W), (H, W, C) or a batch '
    '(N, H, W, C); a PIL image; a path; or a list of these'
)
Encoded = bytes | NDArray[np.uint8]


def as_images(images: Any) -> tuple[list[Any], bool]:
    """Whatever stands for images, one by one, and whether it was a single image.

    Args:
      images: an array (H, W), (H, W, C) or (N, H, W, C), a picture of Pillow, a path, the bytes of
        a file, or a list of any of them.

    Raises:
      JsslError: none at all, or an array that is no image or has its channels first.
    """
    if isinstance(images, list | tuple):
        if not images:
            raise JsslError('features() got an empty list; give it at least one image.')
        return [_alone(number, image) for number, image in enumerate(images)], False
    if _is_one(images):
        return [images], True
    array = _array(images)
    if array.ndim in (2, 3):
        return [_checked(array)], True
    if array.ndim == 4 and len(array):
        return [_checked(image) for image in array], False
    raise JsslError(f'features() got an array of shape {array.shape}, which is no image; {FORMS}.')


def on_canvas(image: Any, canvas: int, channels: int = 3) -> Canvas:
    """One image on its canvas, as `jssl.data.decode` puts it there.

    Raises:
      JsslError: it cannot be read, or its values are outside the documented ranges.
    """
    return decode(_encoded(image), canvas, channels)


def _is_one(image: Any) -> bool:
    return isinstance(image, str | os.PathLike | bytes | bytearray | memoryview | Image.Image)


def _alone(number: int, image: Any) -> Any:
    """An entry of a list, which is one image."""
    if _is_one(image):
        return image
    array = _array(image)
    if array.ndim not in (2, 3):
        raise JsslError(
            f'image {number} of the list has shape {array.shape}; a list holds single images, '
            '(H, W) or (H, W, C). Give a batch (N, H, W, C) as an array by itself.'
        )
    return _checked(array)


def _array(image: Any) -> NDArray[Any]:
    try:
        array = np.asarray(image)
    except Exception as error:  # of whatever it is
        raise JsslError(f'features() got {show(image)}, which is no image; {FORMS}.') from error
    if array.dtype.name == 'bfloat16':  # of JAX; NumPy counts it among structures
        array = array.astype(np.float32)
    if array.dtype.kind not in 'uif':
        raise JsslError(f'features() got {show(image)}, which is no image; {FORMS}.')
    return array


def _checked(array: NDArray[Any]) -> NDArray[Any]:
    """An array (H, W) or (H, W, C) with its channels last."""
    if array.ndim == 3 and array.shape[-1] not in CHANNELS:
        if array.shape[0] in CHANNELS:
            raise JsslError(
                f'an image of shape {array.shape} has its channels first, as PyTorch has them; '
                'give images.transpose(1, 2, 0) of one, images.transpose(0, 2, 3, 1) of a batch.'
            )
        raise JsslError(
            f'an array of shape {array.shape} is no image of 1, 3 or 4 channels; give a batch of '
            'grey ones as images[..., None].'
        )
    return array


def _encoded(image: Any) -> Encoded:
    """What `decode` takes: the bytes of a file, or levels."""
    if isinstance(image, str | os.PathLike):
        return _read(expanded(os.fspath(image)))
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    return _levels_of(image) if isinstance(image, Image.Image) else levels(np.asarray(image))


def _read(path: Path) -> bytes:
    try:
        if os.path.isdir(path):
            raise JsslError('it is a folder, and an image is a file; jssl embed takes folders')
        return read_file(str(path))
    except (OSError, ValueError) as error:
        raise JsslError(
            f'the image {str(path)!r} cannot be read: {in_words(error).rstrip(".")}. Give the path '
            'of an image file.'
        ) from error


def _levels_of(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture of Pillow, upright; palettes and other colours as RGB."""
    if picture.mode.startswith(NO_LEVELS):
        raise JsslError(
            f'a picture of mode {picture.mode!r} has levels of no known range; give an array of '
            'uint8, or of floats from 0 to 1.'
        )
    upright = ImageOps.exif_transpose(picture)
    return np.asarray(upright if upright.mode in PLAIN else upright.convert('RGB'))


def levels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Levels from 0 to 255: uint8 as they are, floats from 0 to 1 scaled and rounded.

    Raises:
      JsslError: other values, or another type.

    Examples:
      >>> import numpy as np
      >>> levels(np.array([[0.0, 0.5, 1.0]]))
      array([[  0, 128, 255]], dtype=uint8)
    """
    if array.dtype == np.uint8:
        return array
    wide = np.asarray(array, np.float64)
    low, high = (wide.min(), wide.max()) if array.size else (0.0, 0.0)
    whole = array.dtype.kind != 'f'
    if not whole and low >= 0 and high <= 1:
        return np.rint(wide * 255).astype(np.uint8)
    raise JsslError(
        f'an image of type {array.dtype} has values from {low:g} to {high:g}. Images are uint8 '
        f'from 0 to 255 or floats from 0 to 1; give {_remedy(low, high, whole)}.'
    )


def _remedy(low: float, high: float, whole: bool) -> str:
    """What to give in place of values in that range, which are whole numbers or floats."""
    if whole and low >= 0 and high <= 1:
        return 'images.astype(np.float32) where 1 is white, images.astype(np.uint8) where 255 is'
    if low >= 0 and high <= 255:
        return 'images.astype(np.uint8)'
    if low >= -1 and high <= 1:
        return '(images + 1) / 2'
    if whole and low >= 0 and high <= 65535:
        return 'images / 65535 where 16 bits are the whole range, images / 4095 where 12 are'
    return 'the levels of the image file, before anything normalises them'


def batch_of(canvases: Sequence[tuple[NDArray[np.uint8], tuple[int, int]]]) -> dict[str, Canvas]:
    """What a network is given: the images on their canvases, in one."""
    pixels = np.stack([levels for levels, _ in canvases])
    return {'canvas': Canvas(pixels, np.array([size for _, size in canvases], np.int32))}
