"""Colour on the device: Pillow's blends, hue, grey and solarize for one RGB image.

Images are float32 `(H, W, 3)` with whole levels 0..255, see `ops.resample`. Nothing branches
on a traced value, so everything runs under `jax.vmap` and `jax.jit` with drawn parameters.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

ITU_WEIGHTS = (0.2989, 0.587, 0.114)
GRAY_WEIGHTS = {'itu': ITU_WEIGHTS, 'equal': (1.0, 1.0, 1.0)}
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def _to_planes(image: jax.Array) -> jax.Array:
    return jnp.moveaxis(image, -1, 0)


def _to_image(planes: jax.Array) -> jax.Array:
    return jnp.moveaxis(planes, 0, -1)


def _luma(planes: jax.Array) -> jax.Array:
    """ITU-R 601 luma `(H, W)` of `(3, H, W)`, in Pillow's 16-bit fixed point; exact in float32."""
    red, green, blue = planes
    return jnp.floor((19595 * red + 38470 * green + 7471 * blue + 0x8000) / 0x10000)


def _rounded_mean(luma: jax.Array) -> jax.Array:
    """The mean of whole levels, rounded half up, in integers for exactness."""
    total = jnp.sum(luma.astype(jnp.int32))
    return ((2 * total + luma.size) // (2 * luma.size)).astype(luma.dtype)


def _blend(degenerate: jax.Array | float, image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """`Image.blend`: from `degenerate` (factor 0) through `image` (1) and beyond, truncated."""
    return jnp.floor(jnp.clip(degenerate + factor * (image - degenerate), 0, 255))


def adjust_brightness(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Scale all levels: `ImageEnhance.Brightness`.

    Args:
      image: float32 `(H, W, 3)`, whole levels 0..255.
      factor: 0 gives black, 1 the image, more than 1 a brighter one; may be traced.

    Returns:
      Float32 `(H, W, 3)`, whole levels, equal to Pillow's within one level.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.color import adjust_brightness
      >>> pixel = jnp.array([[[200.0, 100.0, 50.0]]])
      >>> print(adjust_brightness(pixel, 0.5))
      [[[100.  50.  25.]]]
    """
    return _blend(0.0, image, factor)


def adjust_contrast(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Move all levels away from the mean luma: `ImageEnhance.Contrast`.

    Args:
      image: float32 `(H, W, 3)`, whole levels 0..255.
      factor: 0 gives one grey, 1 the image; may be traced.

    Returns:
      Float32 `(H, W, 3)`, whole levels, equal to Pillow's within one level.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.color import adjust_contrast
      >>> image = jnp.array([[[100.0] * 3, [200.0] * 3]])
      >>> print(adjust_contrast(image, 0.5)[..., 0])
      [[125. 175.]]
    """
    return _blend(_rounded_mean(_luma(_to_planes(image))), image, factor)


def adjust_saturation(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Move each pixel away from its own luma: `ImageEnhance.Color`.

    Args:
      image: float32 `(H, W, 3)`, whole levels 0..255.
      factor: 0 gives the grey image, 1 the image; may be traced.

    Returns:
      Float32 `(H, W, 3)`, whole levels, equal to Pillow's within one level.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.color import adjust_saturation
      >>> pixel = jnp.array([[[200.0, 100.0, 50.0]]])
      >>> print(adjust_saturation(pixel, 0.0))
      [[[124. 124. 124.]]]
    """
    return _blend(_luma(_to_planes(image))[..., None], image, factor)


def _rgb_to_hsv(planes: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pillow's 8-bit HSV of `(3, H, W)`; equal to it for all 16.7 million colours."""
    red, green, blue = planes
    value = jnp.maximum(jnp.maximum(red, green), blue)
    lowest = jnp.minimum(jnp.minimum(red, green), blue)
    middle = red + green + blue - value - lowest
    chroma = value - lowest
    step = (value - middle) / jnp.maximum(chroma, 1)
    # Six sectors of the hue circle, each at an odd number plus or minus the step: Pillow's own
    # sums with one rounding, as there.
    sector = jnp.where(
        red == value,
        jnp.where(green == lowest, step - 1, 1 - step),
        jnp.where(
            green == value,
            jnp.where(blue == lowest, 1 + step, 3 - step),
            jnp.where(red == lowest, 3 + step, 5 - step),
        ),
    )
    # The divisor depends on the data lest XLA multiply by 1/6 instead, which rounds otherwise.
    turn = sector / jnp.where(chroma == 0, 1, 6)
    turn = jnp.where(turn < 0, turn + 1, turn)
    hue = jnp.where(chroma == 0, 0, jnp.floor(turn * 255))
    return hue, jnp.floor(chroma / jnp.maximum(value, 1) * 255), value


def _hsv_to_rgb(hue: jax.Array, saturation: jax.Array, value: jax.Array) -> jax.Array:
    """8-bit HSV planes to `(3, H, W)`, in whole numbers up to the last division."""

    def channel(sixths: int) -> jax.Array:
        angle = 6 * hue + 255 * sixths
        angle = jnp.where(angle >= 1530, angle - 1530, angle)
        distance = jnp.clip(510 - jnp.abs(angle - 510), 0, 255)
        return jnp.floor(value - value * saturation * distance / 65025 + 0.5)

    return jnp.stack([channel(5), channel(3), channel(1)])


def _shift_hue(planes: jax.Array, shift: jax.Array | float) -> jax.Array:
    hue, saturation, value = _rgb_to_hsv(planes)
    hue = hue + jnp.trunc(shift * 255)
    hue = jnp.where(hue < 0, hue + 256, jnp.where(hue > 255, hue - 256, hue))
    return _hsv_to_rgb(hue, saturation, value)


def adjust_hue(image: jax.Array, shift: jax.Array | float) -> jax.Array:
    """Turn the hue circle, in Pillow's 8-bit HSV space.

    Args:
      image: float32 `(H, W, 3)`, whole levels 0..255.
      shift: part of the circle, -0.5 to 0.5; may be traced.

    Returns:
      Float32 `(H, W, 3)`, whole levels, equal to Pillow's within one level.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.color import adjust_hue
      >>> red = jnp.array([[[255.0, 0.0, 0.0]]])
      >>> print(adjust_hue(red, 1 / 3))
      [[[  0. 255.   0.]]]
    """
    return _to_image(_shift_hue(_to_planes(image), shift))


def to_gray(image: jax.Array, weights: Sequence[float] = ITU_WEIGHTS) -> jax.Array:
    """Replace each pixel by the weighted mean of its channels, truncated.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.
      weights: one number a channel, red first; they are divided by their sum.

    Returns:
      Float32 `(H, W, C)`, whole levels, all channels equal.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.color import to_gray
      >>> pixel = jnp.array([[[200.0, 100.0, 50.0]]])
      >>> print(to_gray(pixel))
      [[[124. 124. 124.]]]
    """
    total = sum(weights)
    planes = zip(weights, _to_planes(image), strict=True)
    mean = sum((weight / total * plane for weight, plane in planes), jnp.zeros((), image.dtype))
    # The margin keeps a mean that is a whole level from being rounded below it and truncated.
    return jnp.broadcast_to(jnp.floor(mean + 2.0**-14)[..., None], image.shape)


def solarize(image: jax.Array, threshold: float = 128) -> jax.Array:
    """Invert the levels from `threshold` on: `ImageOps.solarize`; `(H, W, C)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.color import solarize
      >>> pixel = jnp.array([[[200.0, 100.0, 50.0]]])
      >>> print(solarize(pixel))
      [[[ 55. 100.  50.]]]
    """
    return jnp.where(image < threshold, image, 255 - image)


def _blend_round(planes: jax.Array, operation: jax.Array, factor: jax.Array) -> jax.Array:
    """Brightness, contrast or saturation, as `operation` says: only the degenerate differs."""
    luma = _luma(planes)
    colored = jnp.where(operation == CONTRAST, _rounded_mean(luma), luma)
    return _blend(jnp.where(operation == BRIGHTNESS, 0, colored), planes, factor)


def color_jitter(image: jax.Array, factors: jax.Array, order: jax.Array) -> jax.Array:
    """Apply brightness, contrast, saturation and hue in a given order.

    Under `vmap` all branches are evaluated, so hue, by far the dearest, is evaluated once, between
    the blends that precede it and those that follow; a blend out of turn gets the factor 1.

    Args:
      image: float32 `(H, W, 3)`, whole levels 0..255.
      factors: `(4,)`: brightness, contrast, saturation, hue shift; `(3,)` leaves hue out.
      order: int `(4,)` or `(3,)`: a permutation of the indices of `factors`, first to last.

    Returns:
      Float32 `(H, W, 3)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.color import color_jitter
      >>> pixel = jnp.array([[[200.0, 100.0, 50.0]]])
      >>> factors = jnp.array([0.5, 1.0, 0.0])  # half as bright, and without colour
      >>> print(color_jitter(pixel, factors, order=jnp.array([0, 1, 2])))
      [[[62. 62. 62.]]]
    """
    planes = _to_planes(image)
    if factors.shape[0] == HUE:
        for operation in order:
            planes = _blend_round(planes, operation, factors[operation])
        return _to_image(planes)
    hue_place = jnp.argmax(order == HUE)
    for place in range(3):
        factor = jnp.where(place < hue_place, factors[order[place]], 1)
        planes = _blend_round(planes, order[place], factor)
    # Without the barrier XLA:CPU evaluates hue again for each of its uses: five times slower.
    planes = lax.optimization_barrier(_shift_hue(planes, factors[HUE]))
    for place in range(1, 4):
        factor = jnp.where(place > hue_place, factors[order[place]], 1)
        planes = _blend_round(planes, order[place], factor)
    return _to_image(planes)


def draw_color_jitter(
    key: jax.Array, brightness: float, contrast: float, saturation: float, hue: float
) -> tuple[jax.Array, jax.Array]:
    """Draw the `factors` and the `order` of `color_jitter`.

    Args:
      key: one typed key.
      brightness, contrast, saturation: strength x; the factor is uniform in
        `[max(0, 1 - x), 1 + x]`.
      hue: strength h; the shift is uniform in `[-h, h]`. If 0, hue is left out.

    Returns:
      `factors`, float32, and `order`, int32, both `(4,)`, or `(3,)` without hue.

    Examples:
      >>> import jax
      >>> from jssl.augment.ops.color import draw_color_jitter
      >>> factors, order = draw_color_jitter(jax.random.key(0), 0.4, 0.4, 0.4, hue=0.1)
      >>> print(factors.shape, sorted(order.tolist()))
      (4,) [0, 1, 2, 3]
    """
    factor_key, order_key = jax.random.split(key)
    strengths = (brightness, contrast, saturation)
    low = [max(0.0, 1.0 - strength) for strength in strengths]
    high = [1.0 + strength for strength in strengths]
    if hue:
        low, high = [*low, -hue], [*high, hue]
    bounds = jnp.array([low, high], jnp.float32)
    factors = jax.random.uniform(factor_key, (len(low),), jnp.float32, bounds[0], bounds[1])
    return factors, jax.random.permutation(order_key, len(low)).astype(jnp.int32)


def random_color_jitter(
    key: jax.Array,
    image: jax.Array,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> jax.Array:
    """Apply the four colour operations with drawn factors in a drawn order.

    Args:
      key: one typed key.
      image: float32 `(H, W, 3)`, whole levels 0..255.
      brightness, contrast, saturation, hue: strengths, see `draw_color_jitter`.

    Returns:
      Float32 `(H, W, 3)`, whole levels.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.color import random_color_jitter
      >>> pixel = jnp.array([[[200.0, 100.0, 50.0]]])
      >>> print(random_color_jitter(jax.random.key(0), pixel, 0.0, 0.0, 0.0, hue=0.0))
      [[[200. 100.  50.]]]
    """
    factors, order = draw_color_jitter(key, brightness, contrast, saturation, hue)
    return color_jitter(image, factors, order)
