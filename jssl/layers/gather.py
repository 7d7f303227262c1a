"""Choosing tokens, with a gradient that is chosen too: accelerators are slow at scattering."""

import jax
import jax.numpy as jnp
import numpy as np


@jax.custom_vjp
def take_tokens(x: jax.Array, index: jax.Array) -> jax.Array:
    """Tokens (B, K, C) of x (B, N, C): `x[b, index[b, k]]`, none of them twice in a row of `index`.

    The gradient of a token is that of the place it went to, or 0, which is a choice as well. XLA
    would add what might be several up, one after the other.

    Args:
      x: (B, N, C).
      index: int (B, K), each in [0, N).

    Example:
      >>> import jax.numpy as jnp
      >>> print(take_tokens(jnp.array([[[1.0], [2.0], [3.0]]]), jnp.array([[2, 0]]))[..., 0])
      [[3. 1.]]
    """
    return jnp.take_along_axis(x, index[..., None], axis=1)


def _forward(x: jax.Array, index: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    # The shape alone is kept: an array without elements carries it.
    return take_tokens(x, index), (index, jnp.zeros((x.shape[1], 0)))


def _backward(kept: tuple[jax.Array, jax.Array], given: jax.Array) -> tuple[jax.Array, np.ndarray]:
    index, empty = kept
    went_to = index[:, None, :] == jnp.arange(len(empty))[None, :, None]  # (B, N, K)
    place = jnp.argmax(went_to, axis=2)[..., None]
    chosen = went_to.any(axis=2)[..., None]
    by_x = jnp.where(chosen, jnp.take_along_axis(given, place, axis=1), 0)
    return by_x, np.zeros(index.shape, jax.dtypes.float0)


take_tokens.defvjp(_forward, _backward)
