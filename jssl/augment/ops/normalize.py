"""From levels to what a network sees, and back for pictures.

This is where a chain of operations leaves the scale 0..255, see `ops.resample`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def normalize(
    image: jax.Array,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> jax.Array:
    """`(image - mean) / std` per channel.

    Args:
      image: `(H, W, C)`, levels 0..255.
      mean, std: one number a channel, on the same 0..255 scale.

    Returns:
      Float `(H, W, C)`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.normalize import normalize
      >>> print(normalize(jnp.array([[[0.0, 255.0]]]), mean=(127.5, 127.5), std=(127.5, 127.5)))
      [[[-1.  1.]]]
    """
    return (image - jnp.asarray(mean, image.dtype)) / jnp.asarray(std, image.dtype)


def standardize(image: jax.Array) -> jax.Array:
    """The image less its own mean, over its own deviation, of all pixels and channels together.

    Brightness and contrast are gone with that. The variance is taken as larger by 1 level², so that
    an image of one grey becomes 0.

    Args:
      image: `(H, W, C)`, levels 0..255.

    Returns:
      Float `(H, W, C)`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.normalize import standardize
      >>> print(standardize(jnp.array([[[0.0], [200.0]]])).round(3).ravel())
      [-1.  1.]
    """
    return jax.nn.standardize(image, axis=None, epsilon=1.0)


def denormalize(
    images: ArrayLike, mean: float | Sequence[float], std: float | Sequence[float]
) -> NDArray[np.float32]:
    """Undoes `normalize` on the host, for pictures.

    Args:
      images: `(..., C)`.
      mean, std: one number a channel or one for all, on the 0..255 scale.

    Returns:
      `(..., C)`, levels 0..255, not rounded.

    Examples:
      >>> from jssl.augment.ops.normalize import denormalize
      >>> print(denormalize([-1.0, 0.0, 1.0], mean=127.5, std=127.5))
      [  0.  127.5 255. ]
    """
    levels = np.asarray(images, np.float32) * np.asarray(std, np.float32)
    return (levels + np.asarray(mean, np.float32)).clip(0, 255)
