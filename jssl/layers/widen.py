"""The precision that losses and statistics are computed in."""

import jax
import jax.numpy as jnp

# Of the large products of losses, heads and memories. A CPU takes float32 for it, a TPU three
# products of bfloat16 (to 2^-16), a GPU one of TF32 (to 2^-11): less than the rounding of features
# that a network in bfloat16 makes (2^-8), where the highest precision takes six, or no tensor core.
PRECISION = jax.lax.Precision.HIGH


def widen(x: jax.Array) -> jax.Array:
    """`x` in at least float32; float64 stays as it is."""
    x = jnp.asarray(x)  # of NumPy too
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
