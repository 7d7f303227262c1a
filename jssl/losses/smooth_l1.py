"""Smooth L1: squares near zero and absolute values beyond, the loss of I-JEPA.

Girshick, "Fast R-CNN", ICCV 2015, arXiv 1504.08083, equation 3.
"""

import jax
import jax.numpy as jnp

from jssl.layers.widen import widen


def smooth_l1(prediction: jax.Array, target: jax.Array, beta: float = 1.0) -> jax.Array:
    """The mean of ``d^2 / (2 beta)`` where |d| < beta, and of ``|d| - beta / 2`` elsewhere.

    Args:
      prediction: of any shape.
      target: the same shape; whether a gradient flows into it is the caller's choice.
      beta: where the square ends, positive.

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import smooth_l1
      >>> print(smooth_l1(jnp.array([0.5, 3.0]), jnp.zeros(2)))  # the mean of 0.125 and 2.5
      1.3125
    """
    distance = jnp.abs(widen(prediction) - widen(target))
    return jnp.mean(
        jnp.where(distance < beta, jnp.square(distance) / (2 * beta), distance - beta / 2)
    )
