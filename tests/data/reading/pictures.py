"""Pictures of random levels, and their files."""

import io
from typing import Any

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def encoded(picture: Image.Image, form: str = 'PNG', **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def picture(mode: str = 'RGB', size: tuple[int, int] = (20, 12)) -> Image.Image:
    """A smooth picture with some noise, so that shrinking it well or badly makes a difference."""
    across = np.linspace(0, 200, size[0])[None, :, None] + np.zeros((size[1], 1, 3))
    pixels = across + RNG.uniform(0, 55, (size[1], size[0], 3))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)
