"""Softmax cross entropy."""

import jax
import jax.numpy as jnp

from jssl.layers.widen import widen


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over samples of ``-log softmax(logits)[label]``, natural logarithm.

    Args:
      logits: (n, K); an entry of minus infinity takes its class out of the sum.
      labels: int (n,), each in [0, K).

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import cross_entropy
      >>> print(f'{cross_entropy(jnp.array([[1.0, 0.0]]), jnp.array([0])):.4f}')  # log(1 + 1/e)
      0.3133
    """
    return jnp.mean(_each(logits, labels))


def weighted_cross_entropy(
    logits: jax.Array, labels: jax.Array, weights: jax.Array, *, normalize: bool = False
) -> jax.Array:
    """Mean over samples of the cross entropy times the weight of the sample's class.

    Args:
      logits: (n, K).
      labels: int (n,), each in [0, K).
      weights: (K,).
      normalize: divide by the mean weight of the samples too, as PyTorch does and the reference
        does not; only the ratios of the weights matter then.

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import weighted_cross_entropy
      >>> logits, labels = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([0, 0])
      >>> print(f'{weighted_cross_entropy(logits, labels, jnp.array([0.5, 2.0])):.4f}')
      0.1566
    """
    chosen = weights[labels]
    scale = chosen.mean() if normalize else 1
    return jnp.mean(chosen * _each(logits, labels)) / scale


def _each(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The cross entropy of every sample, (n,)."""
    logits = widen(logits)
    # Not `take_along_axis`, whose gradient writes an array of zeros and then into it.
    picked = jnp.sum(jnp.where(jnp.arange(logits.shape[1]) == labels[:, None], logits, 0), axis=1)
    return jax.nn.logsumexp(logits, axis=1) - picked
