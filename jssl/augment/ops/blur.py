"""Gaussian blur on the device, as Pillow's, in the integers it uses.

Images are float32 `(H, W, C)` with whole levels 0..255, see `ops.resample`.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax


def _box_radius(sigma: jax.Array | float) -> jax.Array:
    """Radius of the box whose threefold convolution has standard deviation `sigma`.

    The extended box of Gwosdek et al. 2011, "Theoretical foundations of Gaussian convolution by
    extended box filtering", for three passes; the fraction of the radius is the weight of the two
    outermost pixels relative to the others.
    """
    variance = jnp.square(sigma)
    whole = jnp.floor((jnp.sqrt(4 * variance + 1) - 1) / 2)
    excess = (2 * whole + 1) * (whole * (whole + 1) - variance)
    return whole + excess / (2 * variance - 6 * jnp.square(whole + 1))


def _box_weights(sigma: jax.Array | float, reach: int) -> jax.Array:
    """The box's weights at the distances 0 to `reach`, int32 `(reach + 1,)` in units of 2**-24."""
    radius = _box_radius(jnp.asarray(sigma, jnp.float32))
    whole = jnp.floor(radius).astype(jnp.int32)
    inner = jnp.floor(2.0**24 / (2 * radius + 1)).astype(jnp.int32)
    outer = (2**24 - (2 * whole + 1) * inner) // 2
    distance = jnp.arange(reach + 1)
    return jnp.where(distance <= whole, inner, jnp.where(distance == whole + 1, outer, 0))


def _box_blur(planes: jax.Array, weights: jax.Array, axis: int) -> jax.Array:
    """One box blur of int32 `(C, H, W)` along an axis, edge pixels replicated, rounded half up."""
    reach, length = weights.shape[0] - 1, planes.shape[axis]
    padding = [(reach, reach) if index == axis else (0, 0) for index in range(planes.ndim)]
    # Without the barrier XLA:CPU evaluates the pass before again for each shift: 15 times slower.
    padded = lax.optimization_barrier(jnp.pad(planes, padding, mode='edge'))
    shifted = [
        lax.slice_in_dim(padded, start, start + length, axis=axis) for start in range(2 * reach + 1)
    ]
    total = weights[0] * shifted[reach] + 2**23
    for distance in range(1, reach + 1):
        total += weights[distance] * (shifted[reach - distance] + shifted[reach + distance])
    # The sum needs 32 bits: it wraps to a negative number and the logical shift takes it back.
    return lax.shift_right_logical(total, jnp.int32(24))


def gaussian_blur(
    image: jax.Array, sigma: jax.Array | float, largest_sigma: float = 2.0
) -> jax.Array:
    """Blur as Pillow's `ImageFilter.GaussianBlur(sigma)`: three box blurs along each axis.

    In integers, as there: equal to Pillow but for a few `sigma` whose weights float32 rounds
    otherwise, and then within one level.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.
      sigma: standard deviation in pixels; may be traced.
      largest_sigma: static bound of `sigma`, which fixes the kernel's length; a larger `sigma` is
        lowered to it.

    Returns:
      Float32 `(H, W, C)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.blur import gaussian_blur
      >>> dot = jnp.zeros((1, 5, 1)).at[0, 2].set(255.0)
      >>> print(gaussian_blur(dot, sigma=1.0)[0, :, 0])
      [ 15.  60. 103.  60.  15.]
    """
    reach = int((math.sqrt(4 * largest_sigma**2 + 1) - 1) / 2) + 1
    weights = _box_weights(jnp.minimum(sigma, largest_sigma), reach)
    planes = jnp.moveaxis(image, -1, 0).astype(jnp.int32)
    for axis in (2, 1):
        for _ in range(3):
            planes = _box_blur(planes, weights, axis)
    return jnp.moveaxis(planes, 0, -1).astype(jnp.float32)
