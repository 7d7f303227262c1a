"""SwAV's queues: the projections of former batches, so that codes see more samples.

Caron et al. 2020, section 3.1 "small batches". They are rings of whole batches (crops, batches, n,
D) that start with zeros and share the place of their oldest batch. That batches have an axis of
their own lets a queue be split over devices and still be written where it is.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P


def push(
    queues: jax.Array, pointer: jax.Array, features: jax.Array, filling: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Overwrites the oldest batch of each queue once they fill; until then nothing changes.

    Args:
      queues: (crops, batches, n, D).
      pointer: int scalar, where the oldest batch is.
      features: (crops, n, D); no gradient flows through them.
      filling: boolean scalar.

    Returns:
      The queues, and where their oldest batch is now.

    Examples:
      >>> import jax.numpy as jnp
      >>> queues = jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
      >>> queues, pointer = push(queues, jnp.array(1), jnp.array([[[9.0]]]), jnp.array(True))
      >>> print(queues[0, :, 0, 0], pointer)
      [1. 9. 3.] 2
    """
    features = jax.lax.stop_gradient(features).astype(queues.dtype)
    # A batch is chosen and not the queues: a choice between whole queues would copy them.
    batch = _where_queues_are(jnp.where(filling, features, _oldest(queues, pointer)))
    queues = jax.lax.dynamic_update_index_in_dim(queues, batch, pointer, axis=1)
    return queues, jnp.where(filling, (pointer + 1) % queues.shape[1], pointer)


def is_full(queues: jax.Array, pointer: jax.Array) -> jax.Array:
    """Whether something is in the last row of the oldest batch of each queue.

    Args:
      queues: (crops, batches, n, D).
      pointer: int scalar, where the oldest batch is.

    Returns:
      bool (crops,).

    Examples:
      >>> import jax.numpy as jnp
      >>> print(is_full(jnp.array([1.0, 0.0]).reshape(1, 2, 1, 1), jnp.array(1)))
      [False]
    """
    return (_oldest(queues, pointer)[:, -1] != 0).any(axis=1)


def fill(queues: jax.Array) -> jax.Array:
    """The share of rows (..., D) that were written: a scalar from 0 to 1.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(fill(jnp.array([[1.0], [0.0]])))
      0.5
    """
    return jnp.mean((queues != 0).any(axis=-1), dtype=jnp.float32)


def _where_queues_are(batch: jax.Array) -> jax.Array:
    """A batch (crops, n, D) split as queues are: over the axis `fsdp` of a mesh alone, if at all.

    Left to itself, XLA splits the queues as it does the batch, and gathers them whole afterwards.
    """
    parts = jax.sharding.get_abstract_mesh().shape.get('fsdp')
    if parts is None:
        return batch
    split = 'fsdp' if batch.shape[1] % parts == 0 else None
    return jax.lax.with_sharding_constraint(batch, P(None, split))


def _oldest(queues: jax.Array, pointer: jax.Array) -> jax.Array:
    """The oldest batch of each queue, (crops, n, D)."""
    return jax.lax.dynamic_index_in_dim(queues, pointer, axis=1, keepdims=False)
