"""From the feature maps of a backbone to one vector an image."""

import jax
import jax.numpy as jnp


def pool_features(features: tuple[jax.Array, ...]) -> jax.Array:
    """Global average pooling of a backbone's last output.

    Args:
      features: the backbone's outputs; the last is a map (B, h, w, C) or already (B, C).

    Returns:
      (B, C), reduced in at least float32.
    """
    last = features[-1]
    if last.ndim == 2:
        return last
    return last.mean(axis=(1, 2), dtype=jnp.promote_types(last.dtype, jnp.float32))
