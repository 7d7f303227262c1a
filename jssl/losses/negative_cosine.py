"""Negative cosine similarity, the loss of SimSiam.

Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv 2011.10566.
"""

import jax
import jax.numpy as jnp

from jssl.layers.normalize import l2_normalize


def negative_cosine(
    prediction: jax.Array, target: jax.Array, *, shift: float = 0.0, scale: float = 1.0
) -> jax.Array:
    """Mean of ``shift - scale cos(prediction, target)`` (equation 1).

    Args:
      prediction: (..., D), of any length.
      target: the same shape; whether a gradient flows into it is the caller's choice.
      shift: a constant, 0 in the paper.
      scale: of the similarity, 1 in the paper.

    Returns:
      A scalar, computed in at least float32: from -1 to 1 unless told otherwise.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import negative_cosine
      >>> print(negative_cosine(jnp.array([[2.0, 0.0]]), jnp.array([[0.6, 0.8]])))
      -0.6
    """
    cosine = jnp.sum(l2_normalize(prediction) * l2_normalize(target), axis=-1)
    return jnp.mean(shift - scale * cosine)
