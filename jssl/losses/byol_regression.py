"""The regression of a teacher's projection, the loss of BYOL.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020,
arXiv 2006.07733.
"""

import jax

from jssl.losses.negative_cosine import negative_cosine


def byol_regression(
    prediction: jax.Array, target: jax.Array, *, shift: float = 2.0, scale: float = 2.0
) -> jax.Array:
    """The squared distance of unit vectors, ``2 - 2 cos(prediction, target)`` (equation 2).

    Args:
      prediction: (..., D), of any length.
      target: the same shape, the teacher's projection; whether a gradient flows into it is the
        caller's choice.
      shift: 0 leaves the constant out, as the reference does.
      scale: of the similarity.

    Returns:
      A scalar, the mean over all rows, computed in at least float32: from 0 to 4 unless told
      otherwise.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import byol_regression
      >>> print(f'{byol_regression(jnp.array([[2.0, 0.0]]), jnp.array([[0.6, 0.8]])):.4f}')
      0.8000
    """
    return negative_cosine(prediction, target, shift=shift, scale=scale)
