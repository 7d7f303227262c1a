"""The host's side of the comparison: whole view pipelines in Pillow, one image after the other.

The chains, their order and their draws are those that SimCLR's and SwAV's users write with
torchvision's transforms of Pillow images: each view starts from the decoded image and ends as
normalised float32 (3, h, w).
"""

import io
import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from jssl.augment.ops.normalize import IMAGENET_MEAN, IMAGENET_STD

WIDTH, HEIGHT = 500, 375
QUALITY = 90
GRAIN = 24.0  # levels; makes the files as large as photographs of that size
MEAN, STD = (np.array(levels, np.float32) / 255 for levels in (IMAGENET_MEAN, IMAGENET_STD))


def synthetic_jpegs(count: int) -> list[bytes]:
    """JPEGs of 500x375 pixels and about 100 kB: clouds of colour with grain, always the same."""
    generator = np.random.default_rng(0)
    return [_encode(_clouds(generator)) for _ in range(count)]


def _clouds(generator: np.random.Generator) -> Image.Image:
    coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    grain = generator.normal(0, GRAIN, (HEIGHT, WIDTH, 1))
    levels = np.asarray(smooth) + grain
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def _encode(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, 'jpeg', quality=QUALITY)
    return stream.getvalue()


def bare_decode(jpeg: bytes) -> Image.Image:
    """The image as Pillow decodes it, and nothing else."""
    picture = Image.open(io.BytesIO(jpeg))
    picture.load()
    return picture


def simclr_views(jpeg: bytes) -> list[np.ndarray]:
    """Two views of 224 pixels."""
    picture = bare_decode(jpeg)
    return [draw_view(picture, 224, (0.08, 1.0)) for _ in range(2)]


def swav_views(jpeg: bytes) -> list[np.ndarray]:
    """Two views of 224 and six of 96 pixels."""
    picture = bare_decode(jpeg)
    large = [draw_view(picture, 224, (0.14, 1.0)) for _ in range(2)]
    return large + [draw_view(picture, 96, (0.05, 0.14)) for _ in range(6)]


def draw_view(picture: Image.Image, size: int, scale: tuple[float, float]) -> np.ndarray:
    """One view: crop, flip, jitter, grey, blur, normalise; float32 (3, size, size)."""
    view = _crop(picture, scale).resize((size, size), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        view = ImageOps.mirror(view)
    if random.random() < 0.8:
        view = _jitter(view, 0.8, 0.2)
    if random.random() < 0.2:
        view = view.convert('L').convert('RGB')
    if random.random() < 0.5:
        view = view.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
    levels = np.asarray(view).transpose(2, 0, 1).astype(np.float32) / 255
    return (levels - MEAN[:, None, None]) / STD[:, None, None]


def _crop(picture: Image.Image, scale: Sequence[float]) -> Image.Image:
    for _ in range(10):
        area = picture.width * picture.height * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if width <= picture.width and height <= picture.height:
            left = random.randint(0, picture.width - width)
            top = random.randint(0, picture.height - height)
            return picture.crop((left, top, left + width, top + height))
    return ImageOps.fit(picture, (min(picture.size),) * 2)


def _jitter(view: Image.Image, strength: float, hue: float) -> Image.Image:
    enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    for enhancer in random.sample([*enhancers, None], 4):
        if enhancer is None:
            view = _shift_hue(view, random.uniform(-hue, hue))
        else:
            view = enhancer(view).enhance(random.uniform(1 - strength, 1 + strength))
    return view


def _shift_hue(view: Image.Image, shift: float) -> Image.Image:
    hue, saturation, value = view.convert('HSV').split()
    turned = np.asarray(hue) + np.uint8(int(shift * 255) % 256)
    return Image.merge('HSV', (Image.fromarray(turned), saturation, value)).convert('RGB')
