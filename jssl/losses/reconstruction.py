"""How far reconstructions are from what was masked."""

import jax
import jax.numpy as jnp

from jssl.layers.widen import widen


def masked_patch_error(prediction: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean squared error of the masked patches (He et al. 2022, section 3; also MaskFeat).

    Args:
      prediction: (B, L, D).
      target: (B, L, D).
      mask: (B, L), 1 where a patch is masked.

    Returns:
      A scalar, computed in at least float32: the mean over D and over all masked patches.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import masked_patch_error
      >>> prediction = jnp.array([[[1.0, 2.0], [9.0, 9.0]]])  # one image of two patches
      >>> print(masked_patch_error(prediction, jnp.zeros((1, 2, 2)), jnp.array([[1, 0]])))
      2.5
    """
    prediction, target = widen(prediction), widen(target)
    error = jnp.mean((prediction - target) ** 2, axis=-1)
    mask = mask.astype(error.dtype)
    return jnp.sum(error * mask) / jnp.sum(mask)


def masked_pixel_error(
    prediction: jax.Array, target: jax.Array, mask: jax.Array, channels: int = 3
) -> jax.Array:
    """Mean absolute error of the masked pixels (Xie et al. 2022, section 3.5).

    Args:
      prediction: images (B, H, W, C).
      target: images (B, H, W, C).
      mask: (B, H, W), 1 where a pixel is masked.
      channels: what the sum over a pixel is divided by.

    Returns:
      A scalar, computed in at least float32. As in the reference 1e-5 is added to the number of
      masked pixels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import masked_pixel_error
      >>> black, white = jnp.zeros((1, 2, 2, 3)), jnp.ones((1, 2, 2, 3))
      >>> print(f'{masked_pixel_error(black, white, jnp.array([[[1, 1], [0, 0]]])):.4f}')
      1.0000
    """
    prediction, target = widen(prediction), widen(target)
    mask = mask.astype(prediction.dtype)
    error = jnp.sum(jnp.abs(prediction - target) * mask[..., None])
    return error / (jnp.sum(mask) + 1e-5) / channels


def explained_variance(prediction: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """The share of what is masked that a prediction gets right beyond the mean of the batch.

    Args:
      prediction: (B, ..., D).
      target: (B, ..., D).
      mask: (B, ...), 1 where something is masked.

    Returns:
      A scalar: 1 for a perfect prediction, 0 for one as bad as the mean image, which also is a
      gain of -10 log10(1 - share) dB in PSNR over it. No gradient flows through it.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import explained_variance
      >>> target = jnp.array([[[0.0]], [[2.0]]])  # two images of one patch
      >>> print(explained_variance(target / 2, target, jnp.ones((2, 1))))
      0.5
    """
    prediction, target = widen(prediction), widen(target)
    weight = mask.astype(target.dtype)[..., None]
    error = jnp.sum((prediction - target) ** 2 * weight)
    spread = jnp.sum((target - target.mean(axis=0)) ** 2 * weight)
    return jax.lax.stop_gradient(1 - error / jnp.maximum(spread, jnp.finfo(spread.dtype).tiny))
