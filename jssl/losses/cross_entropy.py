"""Softmax cross entropy."""

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over samples of ``-log softmax(logits)[label]``, natural logarithm.

    Args:
      logits: (n, K); an entry of minus infinity takes its class out of the sum.
      labels: int (n,), each in [0, K).

    Returns:
      A scalar, computed in at least float32.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    picked = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)
