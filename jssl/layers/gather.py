"""Choosing tokens, with a gradient that is chosen too: accelerators are slow at scattering."""

import functools

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

    Examples:
      >>> import jax.numpy as jnp
      >>> print(take_tokens(jnp.array([[[1.0], [2.0], [3.0]]]), jnp.array([[2, 0]]))[..., 0])
      [[3. 1.]]
    """
    return jnp.take_along_axis(x, index[..., None], axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def put_tokens(tokens: jax.Array, index: jax.Array, length: int) -> jax.Array:
    """Tokens (B, K, C) at their places in (B, length, C), and 0 elsewhere; undoes `take_tokens`.

    Args:
      tokens: (B, K, C).
      index: int (B, K), each in [0, length), none of them twice in a row.
      length: how many places there are.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(put_tokens(jnp.array([[[3.0], [1.0]]]), jnp.array([[2, 0]]), 3)[..., 0])
      [[1. 0. 3.]]
    """
    from_which = index[:, None, :] == jnp.arange(length)[None, :, None]  # (B, length, K)
    place = jnp.argmax(from_which, axis=2)[..., None]
    chosen = from_which.any(axis=2)[..., None]
    return jnp.where(chosen, jnp.take_along_axis(tokens, place, axis=1), 0)


Kept = tuple[jax.Array, jax.Array]


def _take(x: jax.Array, index: jax.Array) -> tuple[jax.Array, Kept]:
    # The shape alone is kept: an array without elements carries it.
    return take_tokens(x, index), (index, jnp.zeros((x.shape[1], 0)))


def _by_taken(kept: Kept, given: jax.Array) -> tuple[jax.Array, np.ndarray]:
    index, empty = kept
    return put_tokens(given, index, len(empty)), _none(index)


def _put(tokens: jax.Array, index: jax.Array, length: int) -> tuple[jax.Array, jax.Array]:
    return put_tokens(tokens, index, length), index


def _by_put(length: int, index: jax.Array, given: jax.Array) -> tuple[jax.Array, np.ndarray]:
    del length
    return take_tokens(given, index), _none(index)


def _none(index: jax.Array) -> np.ndarray:
    return np.zeros(index.shape, jax.dtypes.float0)


take_tokens.defvjp(_take, _by_taken)
put_tokens.defvjp(_put, _by_put)
