"""Convolutions that a CPU computes, or differentiates, faster as matrix products.

XLA's CPU backend takes up to three times the time of oneDNN for the gradient of a convolution by
its kernel, and several times that for a 1x1 kernel, or for large maps on some processors without
AVX-512. On accelerators nothing changes.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.layers.platforms import Compute, on_cpu
from jssl.layers.rows import row_parts

Padding = Sequence[tuple[int, int]]  # rows and columns, before and after

# Narrow kernels gain nothing by products. Small maps gain a fifth, and their copies cost memory.
LARGE, WIDE = 12, 64
# Pixels whose copies a processor's cache still holds, and that keep its cores busy.
PIXELS = 2048


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Padding,
    **options: Any,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, for `flax.linen.Conv(conv_general_dilated=convolve)`.

    Args:
      x: (B, H, W, C).
      kernel: (k, k', C, D).
      strides: of rows and columns.
      padding: before and after, of rows and columns.
      **options: the further arguments of `jax.lax.conv_general_dilated`.

    Returns:
      (B, h, w, D); equal on every platform, up to rounding.
    """

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

    if not _is_dense(x, kernel, options):
        return plain(x, kernel)
    if kernel.shape[:2] == (1, 1) and not any(map(any, padding)):
        return on_cpu(functools.partial(_pointwise, strides=strides), plain)(x, kernel)
    if _is_tiny(x, kernel, strides, padding):
        return on_cpu(functools.partial(_im2col, strides=strides, padding=padding), plain)(
            x, kernel
        )
    if set(strides) == {1} and _gains(x, kernel):
        return on_cpu(_with_products(plain, padding), plain)(x, kernel)
    return plain(x, kernel)


def _is_dense(x: jax.Array, kernel: jax.Array, options: dict[str, Any]) -> bool:
    """Whether every output depends on all channels of a rectangle of the image, in float32 up."""
    dilations = (*options.get('lhs_dilation', ()), *options.get('rhs_dilation', ()))
    return (
        x.ndim == 4
        and x.dtype in (jnp.float32, jnp.float64)
        and options.get('feature_group_count', 1) == 1
        and set(dilations) <= {1}
    )


def _gains(x: jax.Array, kernel: jax.Array) -> bool:
    """Whether the gradient by a kernel is faster as products."""
    return min(x.shape[1:3]) >= LARGE and min(kernel.shape[2:]) >= WIDE


def _is_tiny(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding) -> bool:
    """Whether a map comes out that is smaller than the kernel, as at the end of a ResNet at 64 px.

    XLA takes the kernel for the image there, and a CPU forty times as long.
    """
    sides = _sides(x, kernel, strides, padding)
    return min(kernel.shape[2:]) >= WIDE and min(sides) > 0 and max(sides) < min(kernel.shape[:2])


def _sides(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding
) -> tuple[int, int]:
    """Height and width of what a convolution gives."""
    height, width = (
        (x.shape[1 + axis] + sum(padding[axis]) - kernel.shape[axis]) // strides[axis] + 1
        for axis in (0, 1)
    )
    return height, width


def _im2col(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding) -> jax.Array:
    """A convolution as one product with a copy of the map for each entry of the kernel."""
    height, width = _sides(x, kernel, strides, padding)
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    ends = [(side - 1) * stride + 1 for side, stride in zip((height, width), strides, strict=True)]
    copies = [
        padded[:, i : i + ends[0] : strides[0], j : j + ends[1] : strides[1]]
        for i, j in np.ndindex(*kernel.shape[:2])
    ]
    rows = jnp.concatenate(copies, axis=-1).reshape(len(x) * height * width, -1)
    product = rows @ kernel.reshape(rows.shape[1], -1)
    return product.reshape(len(x), height, width, -1)


def _pointwise(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """A 1x1 convolution as the product that it is."""
    rows, columns = strides
    x = x[:, ::rows, ::columns]
    # As a matrix: XLA would copy an array of four axes for the gradient by the kernel.
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:3], -1)


def _with_products(plain: Compute, padding: Padding) -> Compute:
    """The convolution `plain` of stride 1, with `kernel_gradient`."""

    @jax.custom_vjp
    def function(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return plain(x, kernel)

    def forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return plain(x, kernel), (x, kernel)

    def backward(
        kept: tuple[jax.Array, jax.Array], given: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        x, kernel = kept
        (by_x,) = jax.vjp(lambda x: plain(x, kernel), x)[1](given)
        return by_x, kernel_gradient(x, given, kernel.shape[:2], padding)

    function.defvjp(forward, backward)
    return function


def kernel_gradient(
    x: jax.Array, given: jax.Array, sides: Sequence[int], padding: Padding
) -> jax.Array:
    """The gradient of a convolution of stride 1 by its kernel, as products of some images each.

    Args:
      x: (B, H, W, C), what the convolution was given.
      given: (B, h, w, D), the gradient of its output.
      sides: k and k' of the kernel.
      padding: of the convolution.

    Returns:
      (k, k', C, D).
    """
    gradient = functools.partial(_gradient_of_some, sides=sides, padding=padding)
    images = _images_at_once(given)
    if images == len(x):
        return gradient(x, given)
    parts = [array.reshape(-1, images, *array.shape[1:]) for array in (x, given)]
    nothing = jnp.zeros((*sides, x.shape[-1], given.shape[-1]), given.dtype)
    return jax.lax.scan(lambda total, some: (total + gradient(*some), None), nothing, parts)[0]


def _images_at_once(given: jax.Array) -> int:
    """How few images have `PIXELS` pixels; a divisor of all, which devices that share them take."""
    images, pixels = len(given), given.shape[1] * given.shape[2]
    if row_parts() > 1:
        return images
    divisors = (count for count in range(1, images) if images % count == 0)
    return next((count for count in divisors if count * pixels >= PIXELS), images)


def _gradient_of_some(
    x: jax.Array, given: jax.Array, sides: Sequence[int], padding: Padding
) -> jax.Array:
    """`kernel_gradient` as k products.

    Entry (i, j) of the kernel sums x[y + i, z + j] given[y, z]. Each product has all j of one i: of
    x, moved by i rows, and k' copies of the gradient, moved by j columns each. im2col would need
    k k' copies.
    """
    (above, below), (left, _) = padding
    height, width, channels = given.shape[1], x.shape[2], x.shape[3]
    columns = [_moved(given, j - left, width) for j in range(sides[1])]
    moved = jnp.concatenate(columns, axis=-1).reshape(-1, sides[1] * given.shape[-1])
    padded = jnp.pad(x, ((0, 0), (above, below), (0, 0), (0, 0)))
    rows = [padded[:, i : i + height].reshape(-1, channels) for i in range(sides[0])]
    products = jnp.stack([row.T @ moved for row in rows])  # (k, C, k' D)
    return products.reshape(sides[0], channels, sides[1], -1).swapaxes(1, 2)


def _moved(given: jax.Array, by: int, width: int) -> jax.Array:
    """(B, h, w, D) moved right by some columns, cut or filled with zeros to a width."""
    zero = jnp.zeros((), given.dtype)
    columns = (by, width - given.shape[2] - by, 0)
    return jax.lax.pad(given, zero, ((0, 0, 0), (0, 0, 0), columns, (0, 0, 0)))
