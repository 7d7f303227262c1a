"""Invariance, variance and covariance: the three terms of VICReg.

Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
Learning", ICLR 2022, arXiv 2105.04906.
"""

import jax
import jax.numpy as jnp

from jssl.errors import JsslError
from jssl.layers.widen import PRECISION, widen


def invariance(first: jax.Array, second: jax.Array) -> jax.Array:
    """The mean squared difference of two views' embeddings (equation 5, divided by D).

    Args:
      first: embeddings (B, D) of one view of each image, of any length.
      second: those of the other.

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import invariance
      >>> print(invariance(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 4.0]])))
      2.0
    """
    return jnp.mean(jnp.square(widen(first) - widen(second)))


def variance_hinge(rows: jax.Array, target: float = 1.0, epsilon: float = 1e-4) -> jax.Array:
    """How far the standard deviations of features fall short of `target` (equations 1 and 2).

    ``mean_j max(0, target - sqrt(Var_j + epsilon))``, with the variance over B - 1.

    Args:
      rows: embeddings (B, D) of the whole batch.
      target: gamma, 1 in the paper.
      epsilon: keeps the gradient finite where a feature is constant.

    Returns:
      A scalar, computed in at least float32: 0 where every feature varies enough.

    Raises:
      JsslError: for the embedding of a single image, which does not vary.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import variance_hinge
      >>> rows = jnp.array([[3.0, 1.0], [-3.0, 1.0]])  # the second feature is constant
      >>> print(f'{variance_hinge(rows):.3f}')
      0.495
    """
    _check_batch(rows)
    deviations = jnp.sqrt(widen(rows).var(axis=0, ddof=1) + epsilon)
    return jnp.mean(jax.nn.relu(target - deviations))


def covariance_penalty(rows: jax.Array) -> jax.Array:
    """The squared covariances of different features, per feature (equations 3 and 4).

    ``sum_{i != j} C_ij^2 / D`` with ``C = sum_b (z_b - mean) (z_b - mean)^T / (B - 1)``

    Args:
      rows: embeddings (B, D) of the whole batch.

    Returns:
      A scalar, computed in at least float32: 0 where no feature tells of another.

    Raises:
      JsslError: for the embedding of a single image.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import covariance_penalty
      >>> print(covariance_penalty(jnp.array([[1.0, 1.0], [-1.0, -1.0]])))
      4.0
    """
    _check_batch(rows)
    rows = widen(rows)
    centered = rows - rows.mean(axis=0)
    covariance = jnp.matmul(centered.T, centered, precision=PRECISION)
    covariance /= len(rows) - 1
    diagonal = jnp.eye(len(covariance), dtype=bool)
    return jnp.sum(jnp.square(jnp.where(diagonal, 0, covariance))) / len(covariance)


def _check_batch(rows: jax.Array) -> None:
    if len(rows) < 2:
        raise JsslError(
            'VICReg measures how features vary over a batch, and a batch of one image has no '
            'variance; set config.batch_size to 2 or more.'
        )
