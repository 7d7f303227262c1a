"""InfoNCE against a queue: a query's key among the keys of former batches, the loss of MoCo.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning",
CVPR 2020, arXiv 1911.05722.
"""

import jax
import jax.numpy as jnp

from jssl.layers.widen import PRECISION
from jssl.losses.contrast import contrast


def info_nce(
    query: jax.Array, key: jax.Array, queue: jax.Array, temperature: float = 0.07
) -> jax.Array:
    """The contrast of each query's own key with the queue (equation 1).

    ``-log(exp(q k / t) / (exp(q k / t) + sum_j exp(q queue_j / t)))``, averaged over queries.

    Args:
      query: unit rows (n, D).
      key: unit rows (n, D), the positives, in the order of the queries. A teacher's have no
        gradient.
      queue: unit rows (K, D), the negatives.
      temperature: t; 0.07 in MoCo, 0.2 in MoCo v2.

    Returns:
      A scalar in nats, computed in the precision of the rows and at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import info_nce
      >>> query = jnp.array([[1.0, 0.0]])
      >>> queue = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
      >>> print(f'{info_nce(query, query, queue, temperature=0.5):.4f}')
      0.1429
    """
    return contrast(*queue_similarities(query, key, queue), temperature)


def queue_similarities(
    query: jax.Array, key: jax.Array, queue: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Inner products of queries with their own keys and with a queue: (n,) and (n, K).

    Args:
      query: unit rows (n, D).
      key: unit rows (n, D).
      queue: unit rows (K, D).

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import queue_similarities
      >>> query, key = jnp.array([[1.0, 0.0]]), jnp.array([[0.6, 0.8]])
      >>> positive, negative = queue_similarities(query, key, jnp.eye(2))
      >>> print(positive, negative)
      [0.6] [[1. 0.]]
    """
    negative = jnp.matmul(query, queue.T, precision=PRECISION)
    return jnp.sum(query * key, axis=1), negative
