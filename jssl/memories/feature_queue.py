"""SwAV's queue: the projections of former batches, newest first, so that codes see more samples.

Caron et al. 2020, section 3.1 "small batches". The queue is an array (L, D) that starts with zeros;
L is a multiple of the batch size, so a whole batch leaves when one enters.
"""

import jax
import jax.numpy as jnp


def push(queue: jax.Array, features: jax.Array) -> jax.Array:
    """The queue (L, D) with `features` (n, D) in front and its n oldest rows gone.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(push(jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[9.0]]))[:, 0])
      [9. 1. 2.]
    """
    features = jax.lax.stop_gradient(features).astype(queue.dtype)
    return jnp.concatenate([features, queue[: len(queue) - len(features)]])


def is_full(queue: jax.Array) -> jax.Array:
    """Whether something has reached the last row of the queue (L, D): a boolean scalar.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(is_full(jnp.array([[1.0], [0.0]])))
      False
    """
    return (queue[-1] != 0).any()


def fill(queue: jax.Array) -> jax.Array:
    """The share of rows (..., L, D) that were written: a scalar from 0 to 1.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(fill(jnp.array([[1.0], [0.0]])))
      0.5
    """
    return jnp.mean((queue != 0).any(axis=-1), dtype=jnp.float32)
