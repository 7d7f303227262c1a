"""One positive against many negatives: what NT-Xent, InfoNCE and NPID's loss have in common."""

import jax
import jax.numpy as jnp

from jssl.layers.widen import widen


def contrast(positive: jax.Array, negative: jax.Array, temperature: float = 0.1) -> jax.Array:
    """The cross entropy of a softmax over a positive and its negatives.

    ``-log(exp(p / t) / (exp(p / t) + sum_k exp(n_k / t)))``, averaged over samples (van den Oord et
    al. 2018, arXiv 1807.03748, equation 4).

    Args:
      positive: p (n,), the similarity of each sample to its positive.
      negative: n (n, K), those to its negatives; minus infinity takes one out of the sum.
      temperature: t, divides all of them; the smaller, the more the nearest negatives count.

    Returns:
      A scalar in nats, computed in at least float32: log(1 + K) where all similarities are equal.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import contrast
      >>> loss = contrast(jnp.array([0.9]), jnp.array([[0.1, -0.3]]), temperature=0.5)
      >>> print(f'{loss:.4f}')
      0.2567
    """
    others = jax.nn.logsumexp(widen(negative) / temperature, axis=1)
    return jnp.mean(jax.nn.softplus(others - widen(positive) / temperature))


def contrast_accuracy(positive: jax.Array, negative: jax.Array) -> jax.Array:
    """How often the positive is more similar than every negative: a scalar from 0 to 1.

    Args:
      positive: (n,).
      negative: (n, K).

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import contrast_accuracy
      >>> accuracy = contrast_accuracy(jnp.array([0.9, 0.2]), jnp.array([[0.1], [0.3]]))
      >>> print(accuracy)
      0.5
    """
    return jnp.mean(positive > negative.max(axis=1))
