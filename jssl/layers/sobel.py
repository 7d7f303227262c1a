"""Edges of an image by the Sobel operator."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

Filter = Mapping[str, jax.Array]  # `kernel` (h, w, in, out) and `bias` (out,) of a convolution


def sobel_filters(channels: int = 3) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """The mean over the channels, and the horizontal and vertical gradient, as convolutions.

    The gradients are [[1, 0, -1], [2, 0, -2], [1, 0, -1]] and its transpose.
    """
    horizontal = jnp.outer(jnp.array([1.0, 2.0, 1.0]), jnp.array([1.0, 0.0, -1.0]))
    gradients = jnp.stack([horizontal, horizontal.T], axis=-1)[:, :, None]
    mean = jnp.full((1, 1, channels, 1), 1 / channels)
    return (
        {'kernel': mean, 'bias': jnp.zeros(1)},
        {'kernel': gradients, 'bias': jnp.zeros(2)},
    )


def sobel(images: jax.Array, filters: tuple[Filter, Filter] | None = None) -> jax.Array:
    """Two maps of edges, by cross-correlations on images padded with zeros.

    Args:
      images: (B, H, W, C).
      filters: of `sobel_filters`, or others in their place.

    Returns:
      (B, H, W, 2), in the precision of the images.
    """
    for convolution in filters or sobel_filters(images.shape[-1]):
        images = jax.lax.conv_general_dilated(
            images,
            convolution['kernel'].astype(images.dtype),
            window_strides=(1, 1),
            padding='SAME',
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )
        images += convolution['bias'].astype(images.dtype)
    return images
