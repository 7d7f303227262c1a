"""Vectors on the unit sphere."""

import jax
import jax.numpy as jnp
import optax


def l2_normalize(x: jax.Array, axis: int = -1) -> jax.Array:
    """``x / max(|x|, 1e-12)`` along `axis`, in at least float32; a zero vector stays zero."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return wide / optax.safe_norm(wide, 1e-12, axis=axis, keepdims=True)
