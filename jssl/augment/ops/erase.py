"""Random erasing on the device, for a normalised image.

Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, arXiv 1708.04896, as the reference's
fine-tuning recipes use it: one attempt, per-pixel normal noise.
"""

import jax
import jax.numpy as jnp
import numpy as np


def erase_box(
    key: jax.Array, height: int, width: int, area: tuple[float, float], aspect: tuple[float, float]
) -> jax.Array:
    """Draw the rectangle to erase.

    Its area is uniform, its aspect log-uniform; a side longer than the image's is cut to it. Its
    place is uniform, but the last position along an axis is never drawn: the reference's bound is
    exclusive.

    Args:
      key: one typed key.
      height, width: size of the image in pixels.
      area: bounds of the area, as a fraction of the image.
      aspect: bounds of height over width.

    Returns:
      Int32 `(4,)`: top, left, height and width.

    Examples:
      >>> import jax
      >>> from jssl.augment.ops.erase import erase_box
      >>> box = erase_box(jax.random.key(0), 32, 32, area=(0.25, 0.25), aspect=(1.0, 1.0))
      >>> print(box[2:])
      [16 16]
    """
    area_key, aspect_key, place_key = jax.random.split(key, 3)
    pixels = height * width * jax.random.uniform(area_key, (), jnp.float32, *area)
    ratio = jnp.exp(jax.random.uniform(aspect_key, (), jnp.float32, *np.log(aspect)))
    image = jnp.array([height, width])
    sides = jnp.sqrt(jnp.stack([pixels * ratio, pixels / ratio]))
    size = jnp.minimum(jnp.round(sides).astype(jnp.int32), image)
    place = jax.random.randint(place_key, (2,), 0, jnp.maximum(image - size, 1))
    return jnp.concatenate([place, size])


def inside_box(box: jax.Array, height: int, width: int) -> jax.Array:
    """Which pixels a box covers.

    Args:
      box: int `(4,)`: top, left, height and width.
      height, width: size of the image in pixels.

    Returns:
      Bool `(height, width)`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.erase import inside_box
      >>> print(inside_box(jnp.array([0, 1, 2, 2]), height=3, width=4).astype(int))
      [[0 1 1 0]
       [0 1 1 0]
       [0 0 0 0]]
    """
    top, left, tall, wide = box
    row, column = jnp.arange(height)[:, None] - top, jnp.arange(width) - left
    return (row >= 0) & (row < tall) & (column >= 0) & (column < wide)


def random_erase(
    key: jax.Array,
    image: jax.Array,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 10 / 3),
) -> jax.Array:
    """Replace a random rectangle by standard normal noise, drawn for each pixel and channel.

    The reference draws that noise on the scale of 0 to 255, with the mean and deviation by which it
    normalises later, and truncates it to whole levels; after normalising that is this noise.

    Args:
      key: one typed key.
      image: float `(H, W, C)`, normalised.
      probability: how often anything is erased.
      area, aspect: see `erase_box`.

    Returns:
      Float `(H, W, C)`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.erase import random_erase
      >>> image = jnp.ones((8, 8, 3))
      >>> erased = random_erase(jax.random.key(0), image, probability=1.0, area=(0.25, 0.25))
      >>> print(bool((erased != 1).any()), bool((erased == 1).any()))
      True True
    """
    chance_key, box_key, noise_key = jax.random.split(key, 3)
    height, width, _ = image.shape
    chosen = jax.random.uniform(chance_key, (), jnp.float32) < probability
    erased = inside_box(erase_box(box_key, height, width, area, aspect), height, width) & chosen
    noise = jax.random.normal(noise_key, image.shape, image.dtype)
    return jnp.where(erased[..., None], noise, image)
