"""Images for pages and pictures: cells, grids of them, and single images as data URIs."""

import base64
import io
import math

import numpy as np
from PIL import Image, ImageOps

from jssl.errors import JsslError

COVER = 0.8  # share of grey on what a mask hides
SMALL = 64  # pixels up to which an image is stored exactly and enlarged with sharp edges


def to_picture(image: np.ndarray, side: int | None = None) -> Image.Image:
    """An image uint8 (h, w, C), C = 1, 3 or 4, for Pillow; shrunk if longer than `side` pixels.

    Raises:
      JsslError: another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise JsslError(
            f'An image of {image.dtype} {image.shape} cannot be shown; give uint8 (height, width, '
            '1, 3 or 4), for normalised views times deviation plus mean times 255.'
        )
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if side is not None:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def view_grid(views: np.ndarray, *, side: int = 112, gap: int = 2) -> Image.Image:
    """Images in rows and columns on a transparent ground, the first column set apart.

    Args:
      views: uint8 (rows, columns, h, w, C); one row an image, its original first.
      side: longest side of a cell in pixels; larger images are shrunk.
      gap: pixels between cells.

    Raises:
      JsslError: another type or shape.
    """
    if views.ndim != 5 or 0 in views.shape:
        raise JsslError(f'views of the shape {views.shape} are not (rows, columns, h, w, C).')
    cells = [[to_picture(image, side) for image in row] for row in views]
    width, height = (length + gap for length in cells[0][0].size)
    rows, columns = views.shape[:2]
    apart = 2 * gap if columns > 1 else 0
    grid = Image.new('RGBA', (columns * width - gap + apart, rows * height - gap))
    for row, pictures in enumerate(cells):
        for column, picture in enumerate(pictures):
            grid.paste(picture, (column * width + apart * (column > 0), row * height))
    return grid


def is_small(image: np.ndarray) -> bool:
    """Whether an image (h, w, C) has so few pixels that a reader wants to see each of them."""
    return max(image.shape[:2]) <= SMALL


def picture_uri(picture: Image.Image, *, lossless: bool) -> str:
    """A data URI: PNG, or WebP where exact pixels do not matter."""
    kind, options = ('png', {'optimize': True}) if lossless else ('webp', {'quality': 85})
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return data_uri(f'image/{kind}', stream.getvalue())


def data_uri(media_type: str, content: bytes) -> str:
    """`content` as an address that needs no network."""
    return f'data:{media_type};base64,{base64.b64encode(content).decode()}'


def as_rgb(images: np.ndarray) -> np.ndarray:
    """Images (..., C): grey ones with three equal channels, transparent ones without alpha."""
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images[..., :3]


def cover(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Grey over what is masked.

    Args:
      images: uint8 (B, h, w, 3).
      mask: (B, rows, columns) or flattened (B, N) for a square; not 0 is hidden.
    """
    rows = mask.shape[1] if mask.ndim == 3 else math.isqrt(mask.shape[1])
    cells = mask.reshape(len(mask), rows, -1) != 0
    for axis in (1, 2):
        places = np.arange(images.shape[axis]) * cells.shape[axis] // images.shape[axis]
        cells = np.take(cells, places, axis=axis)
    gray = (COVER * 128 + (1 - COVER) * images).astype(np.uint8)
    return np.where(cells[..., None], gray, images)


def fit_square(image: np.ndarray, side: int) -> np.ndarray:
    """An image (h, w, C) in the middle of a white square (side, side, 3), as large as it can be."""
    picture = Image.fromarray(as_rgb(image))
    grows = max(picture.size) < side
    method = Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS
    picture = ImageOps.contain(picture, (side, side), method)
    return np.asarray(ImageOps.pad(picture, (side, side), method, color='white'))


def enlarge(images: np.ndarray, factor: int, side: int) -> np.ndarray:
    """Images (B, h, w, 3), every pixel `factor` times, in the middle of white squares of `side`."""
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    space = [side - length for length in large.shape[1:3]]
    margins = [(length // 2, length - length // 2) for length in space]
    return np.pad(large, [(0, 0), *margins, (0, 0)], constant_values=255)
