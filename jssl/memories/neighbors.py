"""The support set of NNCLR: earlier projections, of which the nearest stands in for a positive.

Dwibedi, Aytar, Tompson, Sermanet, Zisserman, "With a Little Help from My Friends: Nearest-Neighbor
Contrastive Learning of Visual Representations", ICCV 2021, arXiv 2104.14548.
"""

import jax
import jax.numpy as jnp

from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import PRECISION, widen


def nearest_rows(memory: jax.Array, rows: jax.Array) -> jax.Array:
    """The row of the memory with the largest cosine similarity to each of `rows` (equation 2).

    Args:
      memory: (K, D), of any length.
      rows: (B, D), of any length.

    Returns:
      (B, D), as they lie in the memory, without gradient.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(nearest_rows(jnp.array([[5.0, 0.0], [0.0, 1.0]]), jnp.array([[0.6, 0.8]])))
      [[0. 1.]]
    """
    memory, rows = jax.lax.stop_gradient((widen(memory), widen(rows)))
    cosines = jnp.matmul(l2_normalize(rows), l2_normalize(memory).T, precision=PRECISION)
    return memory[cosines.argmax(axis=1)]


def store_rows(
    memory: jax.Array, pointer: jax.Array, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Overwrites the oldest rows of the memory, and starts again at its end.

    A batch that does not fit before the end is cut there, as in lightly's memory.

    Args:
      memory: (K, D).
      pointer: int scalar in [0, K), where to write.
      rows: (B, D), as they are; no gradient flows through them.

    Returns:
      The memory, and where to write next.

    Raises:
      JsslError: if the batch is longer than the memory.

    Examples:
      >>> import jax.numpy as jnp
      >>> memory, pointer = store_rows(jnp.zeros((3, 1)), jnp.array(2), jnp.array([[1.0], [2.0]]))
      >>> print(memory[:, 0], pointer)
      [0. 0. 1.] 0
    """
    if len(rows) > len(memory):
        raise JsslError(
            f'config.model.queue_len={len(memory)} is less than the {len(rows)} rows of a batch; '
            f'set it to {len(rows)} or more.'
        )
    rows = jax.lax.stop_gradient(rows).astype(memory.dtype)
    start = jnp.minimum(pointer, len(memory) - len(rows))
    past = pointer - start  # so many rows would stand past the end
    window = jax.lax.dynamic_slice_in_dim(memory, start, len(rows))
    kept = (jnp.arange(len(rows)) >= past)[:, None]
    window = jnp.where(kept, jnp.roll(rows, past, axis=0), window)
    after = pointer + len(rows)
    # A window is written where it is; a scatter of rows would copy the memory on a CPU.
    memory = jax.lax.dynamic_update_slice_in_dim(memory, window, start, axis=0)
    return memory, jnp.where(after >= len(memory), 0, after)
