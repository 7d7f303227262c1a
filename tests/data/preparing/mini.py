"""A small data set to prepare, and what is found where it was prepared."""

import filecmp
import io
from pathlib import Path

import numpy as np
from PIL import Image

from jssl.data.preparing.conversion import Target

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 60, 3), np.uint8)
TARGET = Target(size=16, encoding='png')
NAME = 'mini'


def write_images(root: Path) -> None:
    """Two classes, 23 images of several sizes and kinds, and two that are broken."""
    for number in range(23):
        path = root / 'ab'[number % 2] / f'{number:02}.{"jpg" if number % 3 else "png"}'
        path.parent.mkdir(exist_ok=True)
        height, width = RNG.integers(10, 60, 2)
        Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    (root / 'a' / '03.jpg').write_bytes(b'')
    (root / 'b' / '99.png').write_bytes(b'no image')


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def same_files(one: Path, other: Path) -> bool:
    names = [sorted(str(p.relative_to(root)) for p in root.rglob('*')) for root in (one, other)]
    files = [name for name in names[0] if (one / name).is_file()]
    assert names[0] == names[1]
    return filecmp.cmpfiles(one, other, files, shallow=False)[0] == files
