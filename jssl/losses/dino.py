"""The cross entropy of a student's crops with a teacher's, the loss of DINO.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, arXiv
2104.14294.
"""

import jax
import jax.numpy as jnp

from jssl.errors import JsslError
from jssl.layers.widen import widen


def dino(logits: jax.Array, targets: jax.Array, temperature: float = 0.1) -> jax.Array:
    """The mean cross entropy over all pairs of a teacher's view and another of the student's.

    ``mean over q, v != q of mean_i -sum_k p_q log softmax(s_v / t)`` (equation 3)

    Args:
      logits: s (V, n, K), the student's, of V crops of n images; the first Q are the global ones.
      targets: p (Q, n, K), the teacher's probabilities for the global crops, see
        `centered_targets` and `sinkhorn`; they get no gradient.
      temperature: t.

    Returns:
      A scalar in nats, computed in at least float32: log K where the student says nothing.

    Raises:
      JsslError: if there is no pair, for which the student needs more than one crop.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import dino
      >>> sure = jnp.array([[[1.0, 0.0]]])
      >>> print(f'{dino(jnp.zeros((3, 1, 2)), sure):.4f}')  # log 2
      0.6931
    """
    pairs = pair_cross_entropies(logits, targets, temperature)
    others = ~jnp.eye(len(targets), len(logits), dtype=bool)
    if len(logits) < 2:
        raise JsslError(
            'DINO compares crops of an image with each other and got one; let the views give two '
            'global crops.'
        )
    return jnp.sum(pairs, where=others) / (pairs.size - len(pairs))


def pair_cross_entropies(
    logits: jax.Array, targets: jax.Array, temperature: float = 0.1
) -> jax.Array:
    """The mean cross entropy (Q, V) of every pair of a teacher's and a student's view.

    Args:
      logits: (V, n, K).
      targets: probabilities (Q, n, K).
      temperature: divides the logits.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import pair_cross_entropies
      >>> targets = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]])
      >>> print(pair_cross_entropies(9 * targets, targets, 1.0).round(2))
      [[0. 9.]
       [9. 0.]]
    """
    logs = jax.nn.log_softmax(widen(logits) / temperature, axis=-1)
    targets = jax.lax.stop_gradient(widen(targets))
    sums = jnp.einsum('qnk,vnk->qv', targets, logs, precision=jax.lax.Precision.HIGHEST)
    return -sums / logits.shape[1]


def soft_cross_entropy(
    logits: jax.Array, targets: jax.Array, temperature: float = 0.1
) -> jax.Array:
    """The cross entropy (...,) of every row, ``-sum_k p_k log softmax(s / t)_k``.

    Args:
      logits: s (..., K).
      targets: p (..., K), probabilities; they get no gradient.
      temperature: t.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import soft_cross_entropy
      >>> print(soft_cross_entropy(jnp.zeros((2, 4)), jnp.full((2, 4), 0.25)).round(4))  # log 4
      [1.3863 1.3863]
    """
    logs = jax.nn.log_softmax(widen(logits) / temperature, axis=-1)
    return -jnp.sum(jax.lax.stop_gradient(widen(targets)) * logs, axis=-1)


def centered_targets(
    logits: jax.Array, center: jax.Array, temperature: float | jax.Array
) -> jax.Array:
    """A teacher's probabilities, ``softmax((logits - center) / temperature)``, without gradient.

    Args:
      logits: (..., K), the teacher's.
      center: (K,), a running mean of these, see `jssl.memories.update_center`.
      temperature: the smaller, the surer; a number or a scalar.

    Returns:
      (..., K), rows sum to 1, in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import centered_targets
      >>> print(centered_targets(jnp.array([3.0, 1.0]), jnp.array([2.0, 0.0]), 0.04))
      [0.5 0.5]
    """
    logits = jax.lax.stop_gradient(widen(logits))
    return jax.nn.softmax((logits - center) / temperature, axis=-1)
