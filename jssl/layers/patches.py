"""Images to rows of pixels, a row for each patch, and back."""

import jax
import jax.numpy as jnp

from jssl.errors import UnevenPatches


def check_divides(height: int, width: int, side: int, field: str) -> None:
    """Raises `UnevenPatches` for images that do not divide into patches."""
    if height % side or width % side:
        raise UnevenPatches(height, width, side, field)


def patchify(images: jax.Array, side: int) -> jax.Array:
    """Images (B, H, W, C) -> patches (B, L, side * side * C).

    Patches are row-major; within one the order is row, column, channel.

    Raises:
      JsslError: if the images do not divide into patches.
    """
    batch, height, width, channels = images.shape
    check_divides(height, width, side, 'config.model.head.patch_size')
    x = images.reshape(batch, height // side, side, width // side, side, channels)
    return x.swapaxes(2, 3).reshape(batch, -1, side * side * channels)


def unpatchify(patches: jax.Array, side: int, height: int, width: int) -> jax.Array:
    """The inverse of `patchify` for images of `height` x `width`."""
    batch = len(patches)
    x = patches.reshape(batch, height // side, width // side, side, side, -1)
    return x.swapaxes(2, 3).reshape(batch, height, width, -1)


def enlarge_mask(mask: jax.Array, side: int) -> jax.Array:
    """A mask (B, h, w) in patches as one in pixels, (B, h * side, w * side)."""
    return jnp.repeat(jnp.repeat(mask, side, axis=1), side, axis=2)


def replace_masked(tokens: jax.Array, mask: jax.Array, token: jax.Array) -> jax.Array:
    """Tokens (B, h, w, C) with `token` (1, 1, C) wherever `mask` (B, h, w) is not 0."""
    return jnp.where(mask[..., None] != 0, token[0].astype(tokens.dtype), tokens)
