"""Draws from given probabilities in constant time: the alias method.

Walker, "An Efficient Method for Generating Discrete Random Variables with General Distributions",
ACM TOMS 3, 1977; the table is built as by Vose, IEEE TSE 17, 1991.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jssl.errors import JsslError

Table = Mapping[str, jax.Array]


def alias_table(weights: ArrayLike) -> dict[str, np.ndarray]:
    """What `draw_alias` needs: N columns of equal area, each shared by at most two outcomes.

    Args:
      weights: (N,), not negative; outcome k has probability weights[k] / sum(weights).

    Returns:
      `prob`, float32 (N,), the share of column k that is k's own, and `alias`, int32 (N,), the
      outcome that has the rest of it.

    Raises:
      JsslError: a weight is negative or not finite, or none is positive.

    Examples:
      >>> table = alias_table([1.0, 3.0])
      >>> print(table['prob'], table['alias'])
      [0.5 1. ] [1 0]
    """
    values = np.asarray(weights, np.float64)
    valid = values.ndim == 1 and np.isfinite(values).all() and not (values < 0).any()
    if not valid or not values.any():
        raise JsslError(
            f'memory_bank.weights {np.array2string(values, threshold=5)} must be one number for '
            'each sample, none negative and some positive; leave it out for uniform negatives.'
        )
    prob = (values * (len(values) / values.sum())).tolist()
    alias = np.zeros(len(values), np.int32)
    small = [k for k, share in enumerate(prob) if share < 1]
    large = [k for k, share in enumerate(prob) if share >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        prob[high] -= 1 - prob[low]
        if prob[high] < 1:
            small.append(large.pop())
    for k in small + large:  # full up to rounding
        prob[k] = 1.0
    return {'prob': np.array(prob, np.float32), 'alias': alias}


def draw_alias(key: jax.Array, table: Table, shape: tuple[int, ...]) -> jax.Array:
    """Independent draws, int32 of that shape, from the probabilities behind a table.

    Examples:
      >>> import jax
      >>> print(draw_alias(jax.random.key(0), alias_table([0.0, 1.0]), (3,)))
      [1 1 1]
    """
    column_key, keep_key = jax.random.split(key)
    column = jax.random.randint(column_key, shape, 0, len(table['prob']), jnp.int32)
    own = jax.random.uniform(keep_key, shape, jnp.float32) < table['prob'][column]
    return jnp.where(own, column, table['alias'][column].astype(jnp.int32))
