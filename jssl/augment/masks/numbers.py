"""Where a rule takes its random numbers from: from a key, or from a record of them.

A rule asks with the count of numbers it has used so far. That makes one function of a reference's
own numbers, which proves it, and of a key, which a run has.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

# (numbers used so far, how many to see) -> these, uniform in [0, 1)
Numbers = Callable[[jax.Array | int, int], jax.Array]


def numbers_of(key: jax.Array) -> Numbers:
    """Fresh float32 numbers; those seen and not used are drawn anew at the next call.

    Args:
      key: one typed key.

    Examples:
      >>> print(numbers_of(jax.random.key(0))(3, 4).shape)
      (4,)
    """

    def numbers(used: jax.Array | int, count: int) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(key, used), (count,), jnp.float32)

    return numbers


def recorded(stream: jax.Array) -> Numbers:
    """The numbers of a record, in its order; half past its end.

    Args:
      stream: (n,), in [0, 1).

    Examples:
      >>> print(recorded(jnp.array([0.1, 0.2, 0.3]))(1, 3))
      [0.2 0.3 0.5]
    """

    def numbers(used: jax.Array | int, count: int) -> jax.Array:
        longer = jnp.pad(stream, (0, count), constant_values=0.5)
        return lax.dynamic_slice_in_dim(longer, used, count)

    return numbers
