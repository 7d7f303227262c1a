"""Tone on the device: what Pillow's `ImageOps` and `ImageEnhance` do to levels, and PCA noise.

Images are float32 `(H, W, C)` with whole levels 0..255, see `ops.resample`; brightness,
contrast, saturation, hue, grey and solarize are in `jssl.augment.ops.color`.
"""

import jax
import jax.numpy as jnp

from jssl.augment.ops.color import _blend

# Principal components of the RGB levels of ImageNet's training set (Krizhevsky et al. 2012).
PCA_DEVIATIONS = (55.4625, 4.7940, 1.1475)
PCA_VECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def invert(image: jax.Array) -> jax.Array:
    """Replace each level by its complement: `ImageOps.invert`; `(H, W, C)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.tone import invert
      >>> print(invert(jnp.array([[[200.0, 100.0, 50.0]]])))
      [[[ 55. 155. 205.]]]
    """
    return 255 - image


def posterize(image: jax.Array, bits: jax.Array | int) -> jax.Array:
    """Keep the leading bits of each level: `ImageOps.posterize`.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.
      bits: 0 (all black) to 8 (the image); may be traced.

    Returns:
      Float32 `(H, W, C)`, whole levels, equal to Pillow's.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.tone import posterize
      >>> print(posterize(jnp.array([[[200.0, 100.0, 50.0]]]), bits=2))
      [[[192.  64.   0.]]]
    """
    step = jnp.left_shift(1, 8 - jnp.asarray(bits, jnp.int32)).astype(image.dtype)
    return jnp.floor(image / step) * step


def auto_contrast(image: jax.Array) -> jax.Array:
    """Stretch each channel so that it spans 0 to 255: `ImageOps.autocontrast`.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.

    Returns:
      Float32 `(H, W, C)`, whole levels, equal to Pillow's within one level, for Pillow truncates a
      product that it has rounded before. A channel of a single level stays as it is.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.tone import auto_contrast
      >>> image = jnp.array([[[50.0], [100.0], [150.0]]])
      >>> print(auto_contrast(image)[0, :, 0])
      [  0. 127. 255.]
    """
    low = jnp.min(image, axis=(0, 1))
    span = jnp.max(image, axis=(0, 1)) - low
    stretched = jnp.floor((image - low) * 255 / jnp.maximum(span, 1))
    return jnp.where(span == 0, image, stretched)


def _equalizing_table(levels: jax.Array) -> jax.Array:
    """The table of `ImageOps.equalize` for one channel: int32 `(N,)` levels -> `(256,)`."""
    counts = jnp.bincount(levels, length=256)
    total = jnp.cumsum(counts)
    brightest = counts[jnp.max(levels)]
    step = (levels.size - brightest) // 255
    table = (step // 2 + total - counts) // jnp.maximum(step, 1)
    return jnp.where(step == 0, jnp.arange(256), jnp.minimum(table, 255))


def equalize(image: jax.Array) -> jax.Array:
    """Flatten the histogram of each channel: `ImageOps.equalize`.

    The histogram is a scatter of whole numbers: under half a millisecond for 224 x 224 x 3 on one
    CPU core, where sorting or comparing with all levels takes ten times as long.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.

    Returns:
      Float32 `(H, W, C)`, whole levels, equal to Pillow's.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.tone import equalize
      >>> ramp = (jnp.arange(512.0) // 4).reshape(1, 512, 1)
      >>> print(equalize(ramp)[0, ::128, 0])
      [  0. 128. 255. 255.]
    """
    planes = jnp.moveaxis(image, -1, 0).astype(jnp.int32).reshape(image.shape[-1], -1)
    tables = jax.vmap(_equalizing_table)(planes)
    levels = jnp.take_along_axis(tables, planes, axis=1).astype(image.dtype)
    return jnp.moveaxis(levels.reshape(-1, *image.shape[:2]), 0, -1)


def adjust_sharpness(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Move each pixel away from a smoothed copy: `ImageEnhance.Sharpness`.

    The copy is `ImageFilter.SMOOTH`, a 3 x 3 mean in which the centre counts five times; the
    outermost pixels have no full neighbourhood and stay as they are.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.
      factor: 0 gives the smoothed copy, 1 the image, more than 1 a sharper one; may be traced.

    Returns:
      Float32 `(H, W, C)`, whole levels, equal to Pillow's within one level.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.tone import adjust_sharpness
      >>> dot = jnp.zeros((3, 3, 1)).at[1, 1].set(130.0)
      >>> print(adjust_sharpness(dot, 0.0)[..., 0])
      [[ 0.  0.  0.]
       [ 0. 50.  0.]
       [ 0.  0.  0.]]
    """
    height, width, _ = image.shape
    if min(height, width) < 3:
        return image
    columns = image[:, :-2] + image[:, 1:-1] + image[:, 2:]
    total = columns[:-2] + columns[1:-1] + columns[2:] + 4 * image[1:-1, 1:-1]
    smooth = image.at[1:-1, 1:-1].set(jnp.floor((2 * total + 13) / 26))
    return _blend(smooth, image, factor)


def lighting(key: jax.Array, image: jax.Array, std: float = 0.1) -> jax.Array:
    """Add one colour, drawn along the principal components of ImageNet's colours, to all pixels.

    Krizhevsky, Sutskever, Hinton 2012, section 4.1, with the reference's constants: the weight of
    component i is normal with deviation `std * PCA_DEVIATIONS[i]`. The sum is truncated to whole
    levels as in the reference; where it leaves 0..255 the reference wraps around, which is clipped
    here.

    Args:
      key: one typed key.
      image: float32 `(H, W, 3)`, whole levels 0..255, RGB.
      std: deviation of the three draws.

    Returns:
      Float32 `(H, W, 3)`, whole levels.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.tone import lighting
      >>> pixel = jnp.array([[[200.0, 100.0, 50.0]]])
      >>> print(lighting(jax.random.key(0), pixel, std=0.0))
      [[[200. 100.  50.]]]
    """
    weights = std * jax.random.normal(key, (3,), jnp.float32) * jnp.array(PCA_DEVIATIONS)
    shift = jnp.sum(jnp.array(PCA_VECTORS) * weights, axis=1)
    return jnp.floor(jnp.clip(image + shift, 0, 255))
