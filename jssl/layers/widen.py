"""The precision that losses and statistics are computed in."""

import jax
import jax.numpy as jnp


def widen(x: jax.Array) -> jax.Array:
    """`x` in at least float32; float64 stays as it is."""
    x = jnp.asarray(x)  # of NumPy too
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
