"""Vectors on the unit sphere."""

import jax
import jax.numpy as jnp
import optax


def l2_normalize(x: jax.Array, axis: int = -1) -> jax.Array:
    """``x / max(|x|, 1e-12)`` along `axis`, in at least float32; a zero vector stays zero."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return wide / optax.safe_norm(wide, 1e-12, axis=axis, keepdims=True)


def feature_std(features: jax.Array) -> jax.Array:
    """How far the directions of features (B, D) differ from image to image.

    The standard deviation per dimension of the l2-normalised features, averaged, times sqrt(D):
    about 1 where they cover the sphere evenly, 0 where all are equal (Chen and He 2021, section
    4.1).
    """
    unit = l2_normalize(features)
    return unit.std(axis=0).mean() * jnp.sqrt(unit.shape[1])
