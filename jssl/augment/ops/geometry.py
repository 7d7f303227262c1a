"""Flip, rotation, shear and translation on the device, as Pillow does them.

Images are float32 `(H, W, C)` with whole levels 0..255, see `ops.resample`. A matrix holds six
numbers `(a, b, c, d, e, f)`: the point `(x, y)` of the result shows the point
`(a x + b y + c, d x + e y + f)` of the image, in pixels from the image's top-left corner.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jssl.augment.ops import resample
from jssl.errors import JsslError, suggest


def _sharp_cubic(distance: jax.Array) -> jax.Array:
    """The cubic kernel with a = -1, which Pillow has for transforms (it resizes with -0.5)."""
    x = jnp.abs(distance)
    return jnp.where(x < 1, (x - 2) * x * x + 1, ((5 - x) * x - 8) * x + 4)


KERNELS: dict[str, tuple[Callable[[jax.Array], jax.Array], tuple[int, ...]]] = {
    'bilinear': (resample.KERNELS['bilinear'], (0, 1)),
    'bicubic': (_sharp_cubic, (-1, 0, 1, 2)),
}


def flip_horizontal(image: jax.Array) -> jax.Array:
    """Mirror `(H, W, C)` left to right.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.geometry import flip_horizontal
      >>> print(flip_horizontal(jnp.array([[[1.0], [2.0]]]))[0, :, 0])
      [2. 1.]
    """
    return image[:, ::-1]


def rotation_matrix(degrees: jax.Array | float, height: int, width: int) -> jax.Array:
    """The matrix of `Image.rotate`: counter-clockwise about the centre of the image.

    Args:
      degrees: the angle; may be traced.
      height, width: size of the image in pixels.

    Returns:
      Float32 `(6,)`.

    Examples:
      >>> from jssl.augment.ops.geometry import rotation_matrix
      >>> print(rotation_matrix(90, height=4, width=4))
      [ 0. -1.  4.  1.  0.  0.]
    """
    angle = jnp.deg2rad(jnp.asarray(degrees, jnp.float32) % 360)
    factors = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    # Exactly 0 at right angles, where the source points lie on the image's border.
    cosine, sine = jnp.where(jnp.abs(factors) < 2.0**-20, 0, factors)
    x, y = width / 2, height / 2
    return jnp.stack(
        [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y]
    )


def shear_matrix(x: jax.Array | float = 0.0, y: jax.Array | float = 0.0) -> jax.Array:
    """The matrix that moves rows by `x` times their height in the image, columns by `y`; `(6,)`.

    Examples:
      >>> from jssl.augment.ops.geometry import shear_matrix
      >>> print(shear_matrix(x=0.5))
      [1.  0.5 0.  0.  1.  0. ]
    """
    return jnp.stack([jnp.asarray(number, jnp.float32) for number in (1, x, 0, y, 1, 0)])


def translation_matrix(x: jax.Array | float = 0.0, y: jax.Array | float = 0.0) -> jax.Array:
    """The matrix that moves the image left by `x` and up by `y` pixels; float32 `(6,)`.

    Examples:
      >>> from jssl.augment.ops.geometry import translation_matrix
      >>> print(translation_matrix(x=2.0))
      [1. 0. 2. 0. 1. 0.]
    """
    return jnp.stack([jnp.asarray(number, jnp.float32) for number in (1, 0, x, 0, 1, y)])


def affine(
    image: jax.Array,
    matrix: jax.Array,
    interpolation: str = 'nearest',
    fill: Sequence[float] | float = 0.0,
) -> jax.Array:
    """Map an image: `Image.transform(image.size, AFFINE, matrix, interpolation, fillcolor=fill)`.

    Within one level of Pillow, except where float32 places a source point on the other side of a
    boundary between pixels: of the nearest pixels, or of the image and what is filled. That befalls
    less than one pixel in 500.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.
      matrix: float32 `(6,)`, see above; may be traced.
      interpolation: 'nearest', 'bilinear' or 'bicubic' (the cubic with a = -1, as in Pillow), none
        of them antialiased.
      fill: what shows where the image does not reach: one level, or one for each channel.

    Returns:
      Float32 `(H, W, C)`, whole levels.

    Raises:
      JsslError: `interpolation` is not known.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.geometry import affine, translation_matrix
      >>> image = jnp.array([[[10.0], [20.0], [30.0]]])
      >>> print(affine(image, translation_matrix(x=1.0), fill=5.0)[0, :, 0])
      [20. 30.  5.]
    """
    if interpolation == 'nearest':
        levels, inside = _nearest(image, matrix)
    elif interpolation in KERNELS:
        levels, inside = _interpolated(image, matrix, *KERNELS[interpolation])
    else:
        names = ['nearest', *KERNELS]
        raise JsslError(
            f'interpolation is {interpolation!r}; give a known filter. '
            f'{suggest(str(interpolation), names)}'
        )
    return jnp.where(inside[..., None], levels, jnp.asarray(fill, image.dtype))


def _nearest(image: jax.Array, matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The pixel under each source point, and whether there is one; Pillow's 16-bit fixed point."""
    height, width, _ = image.shape
    a, b, c, d, e, f = matrix
    offsets = jnp.stack([a, b, c + (a + b) / 2, d, e, f + (d + e) / 2])
    fixed = jnp.floor(offsets * 65536 + 0.5).astype(jnp.int32)
    x, y = jnp.arange(width), jnp.arange(height)[:, None]
    column = lax.shift_right_arithmetic(fixed[0] * x + fixed[1] * y + fixed[2], 16)
    row = lax.shift_right_arithmetic(fixed[3] * x + fixed[4] * y + fixed[5], 16)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return image[jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)], inside


def _interpolated(
    image: jax.Array,
    matrix: jax.Array,
    kernel: Callable[[jax.Array], jax.Array],
    taps: tuple[int, ...],
) -> tuple[jax.Array, jax.Array]:
    """The weighted mean around each source point, and whether that lies in the image."""
    height, width, _ = image.shape
    a, b, c, d, e, f = matrix
    x, y = jnp.arange(width) + 0.5, (jnp.arange(height) + 0.5)[:, None]
    column, row = a * x + b * y + c, d * x + e * y + f
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    left, top = jnp.floor(column - 0.5), jnp.floor(row - 0.5)
    total = jnp.zeros_like(image)
    for down in taps:
        line = jnp.clip(top + down, 0, height - 1).astype(jnp.int32)
        for right in taps:
            place = jnp.clip(left + right, 0, width - 1).astype(jnp.int32)
            weight = kernel(row - 0.5 - top - down) * kernel(column - 0.5 - left - right)
            total += weight[..., None] * image[line, place]
    # The margin keeps a mean that is a whole level from being rounded below it and truncated.
    return jnp.floor(jnp.clip(total + 2.0**-10, 0, 255)), inside


def rotate(
    image: jax.Array,
    degrees: jax.Array | float,
    interpolation: str = 'nearest',
    fill: Sequence[float] | float = 0.0,
) -> jax.Array:
    """Turn an image counter-clockwise about its centre: `Image.rotate`, the size kept.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.
      degrees: the angle; may be traced.
      interpolation, fill: see `affine`.

    Returns:
      Float32 `(H, W, C)`, whole levels; equal to Pillow's as `affine` says.

    Raises:
      JsslError: `interpolation` is not known.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.geometry import rotate
      >>> image = jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]])
      >>> print(rotate(image, 90)[..., 0])
      [[2. 4.]
       [1. 3.]]
    """
    height, width, _ = image.shape
    return affine(image, rotation_matrix(degrees, height, width), interpolation, fill)


def rotate_quarters(image: jax.Array, quarters: jax.Array | int) -> jax.Array:
    """Turn a square image clockwise by quarters of a circle, exactly.

    The rotations of Gidaris, Singh, Komodakis 2018 (RotNet) as the reference makes them.

    Args:
      image: `(S, S, C)`.
      quarters: a whole number; may be traced.

    Returns:
      `(S, S, C)`, equal to `np.rot90(image, -quarters)`.

    Raises:
      JsslError: the image is not square.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.geometry import rotate_quarters
      >>> image = jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]])
      >>> print(rotate_quarters(image, 1)[..., 0])
      [[3. 1.]
       [4. 2.]]
    """
    if image.shape[0] != image.shape[1]:
        raise JsslError(
            f'a quarter turn needs a square image and got {image.shape[0]} x {image.shape[1]} '
            'pixels; crop it to a square first.'
        )
    columns = jnp.swapaxes(image, 0, 1)
    turns = jnp.stack([image, columns[:, ::-1], image[::-1, ::-1], columns[::-1]])
    return turns[quarters % 4]
