"""What the tests of the policies share: canvases of noise, and a view that is the canvas."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jssl.augment.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from jssl.augment.views import View
from jssl.data import Canvas

SIDE = 8
# The whole canvas, so that a view without stages is the canvas.
WHOLE = View(
    size=SIDE,
    scale=(1.0, 1.0),
    ratio=(1.0, 1.0),
    sigma=(1.0, 1.0),
    flip=0.0,
    jitter=0.0,
    gray=0.0,
    blur=0.0,
)


def canvas(side: int = SIDE, height: int | None = None, width: int | None = None) -> Canvas:
    size = jnp.array([height or side, width or side], jnp.int32)
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Canvas(jnp.asarray(pixels), size)


def levels(image: ArrayLike) -> np.ndarray:
    """Undo `normalize` with the usual statistics."""
    return np.asarray(image) * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)
