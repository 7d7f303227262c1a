"""Crop and resize on the device: what Pillow does to a uint8 image, as matrices that trace.

Inside the chain of operations an image is float32 and holds whole levels 0 to 255: every operation
rounds where Pillow rounds, so a chain of them equals the reference's chain of uint8 images. Only
`jssl.augment.ops.normalize` leaves that scale. All functions take one image; `jax.vmap` gives the
batch.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

CROP_ATTEMPTS = 10
ACROSS, DOWN = 'chw,pw->chp', 'chw,oh->cow'  # planes by weights
NO_TIE = 0.499  # further than that from a whole level, float32 cannot tell which one is nearest


def _triangle(distance: jax.Array) -> jax.Array:
    """The bilinear kernel, of support 1."""
    return jnp.maximum(1 - jnp.abs(distance), 0)


def _cubic(distance: jax.Array) -> jax.Array:
    """The bicubic kernel with a = -0.5 (Keys 1981), of support 2."""
    x = jnp.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return jnp.where(x < 1, near, jnp.where(x < 2, far, 0))


def _lanczos(distance: jax.Array) -> jax.Array:
    """The sinc windowed by the central lobe of a sinc three times as wide (Duchon 1979)."""
    return jnp.where(jnp.abs(distance) < 3, jnp.sinc(distance) * jnp.sinc(distance / 3), 0)


KERNELS: dict[str, Callable[[jax.Array], jax.Array]] = {
    'bilinear': _triangle,
    'bicubic': _cubic,
    'lanczos': _lanczos,
}


def _resize_matrix(
    length: int,
    *,
    start: jax.Array | int,
    extent: jax.Array,
    resized: jax.Array | int,
    lines: jax.Array,
    interpolation: str,
    antialias: bool = True,
) -> jax.Array:
    """The weights that resize `extent` pixels of a line to `resized`, as a matrix.

    Args:
      length: pixels of the canvas line.
      start, extent: the part of the line that is the image; nothing outside it is sampled.
      resized: pixels of the whole resized line.
      lines: int32 (rows,), which of those are wanted.
      interpolation: a name in `KERNELS`.
      antialias: whether the kernel's support grows with the down-scaling.

    Returns:
      Float32 `(rows, length)`; every row sums to 1.
    """
    source = (jnp.arange(length, dtype=jnp.int32) - start)[None, :]
    target = lines[:, None]
    # Twice the distance between the two pixel centres times `resized`: whole numbers, so exact.
    distance = (2 * source + 1) * resized - (2 * target + 1) * extent
    widest = jnp.maximum(extent, resized) if antialias else resized
    scaled = distance.astype(jnp.float32) / jnp.asarray(2 * widest, jnp.float32)
    weights = KERNELS[interpolation](scaled)
    weights = jnp.where((source >= 0) & (source < extent), weights, 0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _resample(pixels: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Multiply the lines of `(H, W, C)` by `columns` (P, W), then by `rows` (O, H).

    As exact as float32 everywhere, for the precision that accelerators default to would move
    levels. Which of the two forms runs follows from the platform that the program is compiled for.
    """
    return lax.platform_dependent(
        pixels, rows, columns, cpu=_resample_in_float32, default=_resample_in_bfloat16
    )


def _resample_in_float32(pixels: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """On planes, the layout that XLA:CPU does fastest."""
    multiply = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    planes = jnp.moveaxis(pixels, -1, 0).astype(jnp.float32)
    planes = jnp.clip(multiply(ACROSS, planes, columns), 0, 255)
    # Pillow rounds here too, but float32 cannot tell which way its fixed point rounds a tie: such
    # a value stays as it is, so that the result is never further off than the last rounding.
    nearest = jnp.floor(planes + 0.5)
    planes = jnp.where(jnp.abs(planes - nearest) < NO_TIE, nearest, planes)
    planes = jnp.clip(multiply(DOWN, planes, rows), 0, 255)
    return jnp.moveaxis(jnp.floor(planes + 0.5), 0, -1)


def _resample_in_bfloat16(pixels: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """In products of 8-bit numbers with float32 sums, about half as many as six-pass float32 takes.

    Levels are 8-bit numbers, and so are the whole and half ones between the products once 128 is
    taken off; what a tie is off its half is too little to need more than one product. Equal to
    float32 but for values that lie within its rounding of a tie.
    """
    levels = jnp.moveaxis(pixels, -1, 0).astype(jnp.bfloat16)
    planes = jnp.clip(_multiply(ACROSS, levels, columns, parts=3), 0, 255)
    nearest = jnp.floor(planes + 0.5)
    halves = jnp.where(jnp.abs(planes - nearest) < NO_TIE, nearest, jnp.floor(planes) + 0.5)
    off = jnp.where(halves == nearest, 0, planes - halves)
    total = _multiply(DOWN, halves - 128, rows, parts=3) + _multiply(DOWN, off, rows, parts=1)
    planes = jnp.clip(total + 128, 0, 255)
    return jnp.moveaxis(jnp.floor(planes + 0.5), 0, -1)


def _multiply(equation: str, planes: jax.Array, weights: jax.Array, parts: int) -> jax.Array:
    """`einsum` of 8-bit numbers and float32, a bfloat16 product for each 8 bits of the weights."""
    split = []
    for _ in range(parts):
        # A cast to bfloat16 and back is no rounding to XLA, which may leave both out.
        split.append(lax.reduce_precision(weights, exponent_bits=8, mantissa_bits=7))
        weights = weights - split[-1]
    multiply = functools.partial(jnp.einsum, equation, preferred_element_type=jnp.float32)
    narrow = planes.astype(jnp.bfloat16)
    small_first = [multiply(narrow, part.astype(jnp.bfloat16)) for part in split[::-1]]
    return functools.reduce(jnp.add, small_first)


def crop_and_resize(
    pixels: jax.Array,
    box: jax.Array,
    size: int,
    interpolation: str = 'bilinear',
    antialias: bool = True,
) -> jax.Array:
    """Cut out a box and resize it to a square, as Pillow's `crop(box).resize((size, size))`.

    Equal to Pillow within one level. Like Pillow up to 12 it resizes horizontally first; Pillow 13
    resizes tall boxes vertically first, and there a bicubic crop of noise differs by up to 26.

    Args:
      pixels: `(H, W, C)`, levels 0..255 of any dtype.
      box: int32 `(4,)`: top, left, height and width, inside the canvas; may be traced.
      size: output height and width in pixels.
      interpolation: a name in `KERNELS`.
      antialias: False samples without antialiasing, as OpenCV's bilinear resize does.

    Returns:
      Float32 `(size, size, C)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.resample import crop_and_resize
      >>> pixels = jnp.arange(16.0).reshape(4, 4, 1)
      >>> print(crop_and_resize(pixels, jnp.array([0, 0, 4, 4]), size=2)[..., 0])
      [[ 4.  5.]
       [10. 11.]]
    """
    top, left, height, width = box
    matrix = functools.partial(
        _resize_matrix,
        resized=size,
        lines=jnp.arange(size, dtype=jnp.int32),
        interpolation=interpolation,
        antialias=antialias,
    )
    rows = matrix(pixels.shape[0], start=top, extent=height)
    columns = matrix(pixels.shape[1], start=left, extent=width)
    return _resample(pixels, rows, columns)


def resize_and_center_crop(
    pixels: jax.Array,
    size_hw: jax.Array,
    resize: int,
    size: int,
    interpolation: str = 'bilinear',
) -> jax.Array:
    """Resize the short side to `resize`, keep the aspect, cut the central square.

    Rounding is torchvision's: the long side is truncated, the offset rounded half to even.

    Args:
      pixels: `(H, W, C)`, levels 0..255 of any dtype, the image in the top-left corner.
      size_hw: int32 `(2,)`: the image's true height and width; may be traced.
      resize: length of the short side after resizing, in pixels.
      size: side of the square, at most `resize`.
      interpolation: a name in `KERNELS`, antialiased.

    Returns:
      Float32 `(size, size, C)`, whole levels, equal to Pillow's within one level.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.resample import resize_and_center_crop
      >>> canvas = jnp.full((64, 64, 3), 7, jnp.uint8)
      >>> print(resize_and_center_crop(canvas, jnp.array([48, 64]), resize=32, size=28).shape)
      (28, 28, 3)
    """
    resized = resize * size_hw // jnp.min(size_hw)
    first = jnp.round((resized - size) / 2).astype(jnp.int32)
    return resize_and_crop(pixels, size_hw, resized, first, size, interpolation)


def resize_and_crop(
    pixels: jax.Array,
    size_hw: jax.Array,
    resized_hw: jax.Array,
    first: jax.Array,
    size: int,
    interpolation: str = 'bilinear',
    antialias: bool = True,
    mirrored: bool = False,
) -> jax.Array:
    """Resize the whole image, each side by itself, and cut a square out of the result.

    The weights are those of the whole image's resize, of which only the crop's rows are made.

    Args:
      pixels: `(H, W, C)`, levels 0..255 of any dtype, the image in the top-left corner.
      size_hw: int32 `(2,)`: the image's true height and width; may be traced.
      resized_hw: int32 `(2,)`: height and width after resizing.
      first: int32 `(2,)`: row and column, in the resized image, of the square's first pixel.
      size: side of the square, which lies inside the resized image.
      interpolation, antialias: as in `crop_and_resize`.
      mirrored: whether the square may reach outside by less than the image's sides; it goes on
        mirrored there, its outermost line once, as a 'reflect' padding has it.

    Returns:
      Float32 `(size, size, C)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.resample import resize_and_crop
      >>> canvas, size = jnp.arange(16.0).reshape(4, 4, 1), jnp.array([4, 4])
      >>> print(resize_and_crop(canvas, size, size, first=jnp.array([1, 2]), size=2)[..., 0])
      [[ 6.  7.]
       [10. 11.]]
    """
    lines = first[:, None] + jnp.arange(size, dtype=jnp.int32)
    if mirrored:
        last = resized_hw[:, None] - 1
        lines = last - jnp.abs(last - jnp.abs(lines))
    rows, columns = (
        _resize_matrix(
            pixels.shape[axis],
            start=0,
            extent=size_hw[axis],
            resized=resized_hw[axis],
            lines=lines[axis],
            interpolation=interpolation,
            antialias=antialias,
        )
        for axis in (0, 1)
    )
    return _resample(pixels, rows, columns)


def random_resized_crop_box(
    key: jax.Array,
    size_hw: jax.Array,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """Draw the box of a random resized crop (Szegedy et al. 2015, with the usual ten attempts).

    An attempt draws an area uniform in `scale` (fraction of the image) and an aspect ratio,
    width over height, log-uniform in `ratio`. The first that fits is placed uniformly; if none
    does, the box is the largest central one with the aspect clamped to `ratio`.

    Args:
      key: one typed key.
      size_hw: int32 `(2,)`: the image's true height and width; may be traced.
      scale, ratio: static bounds.

    Returns:
      Int32 `(4,)`: top, left, height and width.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.resample import random_resized_crop_box
      >>> box = random_resized_crop_box(jax.random.key(0), jnp.array([32, 48]), scale=(1.0, 1.0))
      >>> print(box[2:])  # no attempt fits: the largest box of aspect 4 / 3
      [32 43]
    """
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    image = size_hw.astype(jnp.float32)
    area = jnp.prod(image) * jax.random.uniform(
        area_key, (CROP_ATTEMPTS,), jnp.float32, scale[0], scale[1]
    )
    log_ratio = np.log(ratio)
    aspect = jnp.exp(
        jax.random.uniform(ratio_key, (CROP_ATTEMPTS,), jnp.float32, log_ratio[0], log_ratio[1])
    )
    attempts = jnp.round(jnp.sqrt(jnp.stack([area / aspect, area * aspect], axis=1)))
    fits = jnp.all((attempts >= 1) & (attempts <= image), axis=1)
    clamped = jnp.round(image[::-1] * np.array([1 / ratio[0], ratio[1]], np.float32))
    fallback = jnp.clip(clamped, 1, image)
    found = jnp.any(fits)
    box = jnp.where(found, attempts[jnp.argmax(fits)], fallback).astype(jnp.int32)
    space = size_hw - box
    offset = jax.random.randint(place_key, (2,), 0, space + 1, jnp.int32)
    return jnp.concatenate([jnp.where(found, offset, space // 2), box]).astype(jnp.int32)
