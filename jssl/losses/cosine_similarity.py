"""Negative cosine similarity."""

import jax
import jax.numpy as jnp

from jssl.layers.normalize import l2_normalize


def cosine_similarity_loss(
    prediction: jax.Array, target: jax.Array, *, shift: float = 0.0, scale: float = 1.0
) -> jax.Array:
    """Mean of ``shift - scale cos(prediction, target)`` (Chen and He 2021, equation 1).

    Args:
      prediction: (..., D).
      target: the same shape; whether a gradient flows into it is the caller's choice.
      shift: 2, with a `scale` of 2, makes it the squared distance of the unit vectors (Grill et al.
        2020, equation 2).
      scale: of the similarity.

    Returns:
      A scalar, computed in at least float32.
    """
    cosine = jnp.sum(l2_normalize(prediction) * l2_normalize(target), axis=-1)
    return jnp.mean(shift - scale * cosine)
