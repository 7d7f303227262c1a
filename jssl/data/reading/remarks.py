"""What a user should know about images that can all be read, found at the first few of them."""

import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from jssl.data.reading.decoding import FORMATS, decode, plain_bytes
from jssl.data.sources import Source
from jssl.data.sources.reading import name_of

SPREAD = 64  # images whose size is looked at
FIRST = 16
DARK = 32  # an eighth of the range
SMALL = 4  # how many times images are shrunk


class _Look(NamedTuple):
    """One image: its name, its brightest level, its (height, width) stored and on a canvas."""

    name: str
    brightest: int
    stored: tuple[int, int]
    shown: tuple[int, int]

    @property
    def shrunk(self) -> float:
        return max(self.stored) / max(self.shown)


def remarks(source: Source, canvas: int, channels: int = 3, *, seen: float = math.inf) -> list[str]:
    """Sentences, each to be said once: what is left out, is nearly black, or is shrunk very much.

    Args:
      source: its `remarks`, if it has any, come first.
      canvas: the side of the canvas in pixels.
      channels: as for `decode`.
      seen: pixels on a side that a network sees of an image, if that is known: whatever is as large
        on its canvas has lost nothing.
    """
    looks = [_look(source, row, canvas, channels) for row in range(min(FIRST, len(source)))]
    found = [look for look in looks if look is not None]
    less = [look for look in found if min(look.shown) < seen]
    said = [_dark(found), _shrunk(less, canvas, len(found))]
    return [*getattr(source, 'remarks', []), *(line for line in said if line)]


def median_side(source: Source) -> int:
    """The median of the shorter sides of some images in pixels.

    Args:
      source: of which `SPREAD` images are looked at, from the first to the last.

    Returns:
      0 where none of them can be read, which a run will say.
    """
    rows = sorted({len(source) * step // SPREAD for step in range(SPREAD)})
    sides = [min(found) for row in rows if (found := _size(source, row)) is not None]
    return int(np.median(sides)) if sides else 0


def _size(source: Source, row: int) -> tuple[int, int] | None:
    """Height and width of an image as it is stored; None for what cannot be read."""
    try:
        return _stored(plain_bytes(source[row]['image']))
    except Exception:  # whatever a source of the user's own raises
        return None


def _look(source: Source, row: int, canvas: int, channels: int) -> _Look | None:
    """None for what cannot be read, which is told when its batch is read."""
    try:
        image = plain_bytes(source[row]['image'])
        pixels, (height, width) = decode(image, canvas, channels)
        brightest = int(pixels[..., :3].max())
        return _Look(name_of(source, row), brightest, _stored(image), (int(height), int(width)))
    except Exception:  # whatever a source of the user's own raises
        return None


def _stored(image: object) -> tuple[int, int]:
    if not isinstance(image, bytes):
        height, width = np.asarray(image).shape[:2]
        return height, width
    with Image.open(io.BytesIO(image), formats=FORMATS) as file:
        return file.height, file.width


def _dark(looks: list[_Look]) -> str | None:
    brightest = max((look.brightest for look in looks), default=255)
    if brightest >= DARK:
        return None
    return (
        f'the brightest level of the first {len(looks)} images is {brightest} of 255, so they are '
        'nearly black; scale data of fewer bits than their files have, or of 0 and 1, to the whole '
        'range first.'
    )


def _shrunk(looks: list[_Look], canvas: int, count: int) -> str | None:
    small = [look for look in looks if look.shrunk >= SMALL]
    if not small:
        return None
    worst = max(small, key=lambda look: look.shrunk)
    (height, width), (low, narrow) = worst.stored, worst.shown
    return (
        f'{len(small)} of the first {count} images are shrunk {SMALL} times or more to fit '
        f'config.canvas={canvas}, such as {worst.name} from {width}x{height} to {narrow}x{low} '
        'pixels; raise config.canvas if what is lost matters.'
    )
