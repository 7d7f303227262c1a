"""The queue of MoCo: the keys of the last batches, as a ring of unit rows (K, D).

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning",
CVPR 2020, section 3.1.
"""

import jax
import jax.numpy as jnp

from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize


def init_queue(rng: jax.Array, length: int, width: int) -> jax.Array:
    """Random rows on the unit sphere, (length, width).

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> queue = init_queue(jax.random.key(0), length=4, width=2)
      >>> print(queue.shape, jnp.linalg.norm(queue, axis=1).round(3))
      (4, 2) [1. 1. 1. 1.]
    """
    return l2_normalize(jax.random.normal(rng, (length, width)))


def enqueue(queue: jax.Array, pointer: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Overwrites the oldest rows.

    Args:
      queue: (K, D).
      pointer: int scalar, where the oldest row is.
      rows: the keys of the whole batch (B, D); no gradient flows through them.

    Returns:
      The queue, and where its oldest row is now.

    Raises:
      JsslError: if the queue is no multiple of the batch.

    Examples:
      >>> import jax.numpy as jnp
      >>> queue, pointer = enqueue(jnp.zeros((4, 1)), jnp.array(2), jnp.array([[0.6], [0.8]]))
      >>> print(queue[:, 0], pointer)
      [0.  0.  0.6 0.8] 0
    """
    length, count = len(queue), len(rows)
    if length % count:
        raise JsslError(
            f'config.model.queue_len={length} is no multiple of the {count} keys of a batch; set '
            f'it to {max(length // count, 1) * count}, or change config.batch_size.'
        )
    rows = jax.lax.stop_gradient(rows).astype(queue.dtype)
    queue = jax.lax.dynamic_update_slice(queue, rows, (pointer, jnp.zeros_like(pointer)))
    return queue, (pointer + count) % length


def queue_health(queue: jax.Array, written: jax.Array) -> dict[str, jax.Array]:
    """Scalars worth watching.

    Args:
      queue: (K, D).
      written: how many rows have been enqueued since the start of the run.

    Returns:
      `queue_fill`, the share of rows that hold keys and not their random start, and `queue_norm`,
      the mean length of a row, which is 1 unless something is wrong.

    Examples:
      >>> import jax.numpy as jnp
      >>> health = queue_health(jnp.ones((4, 1)), written=jnp.array(3))
      >>> print(health['queue_fill'], health['queue_norm'])
      0.75 1.0
    """
    return {
        'queue_fill': jnp.minimum(written / len(queue), 1.0),
        'queue_norm': jnp.linalg.norm(queue, axis=1).mean(),
    }
