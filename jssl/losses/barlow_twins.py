"""How far a cross-correlation matrix is from the identity, the loss of Barlow Twins.

Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-Supervised Learning via Redundancy
Reduction", ICML 2021, arXiv 2103.03230.
"""

import jax
import jax.numpy as jnp

from jssl.layers.widen import PRECISION, widen


def barlow_twins(correlation: jax.Array, off_diagonal_weight: float = 0.0051) -> jax.Array:
    """``sum_i (C_ii - 1)^2 + weight sum_{i != j} C_ij^2`` (equation 1).

    Args:
      correlation: C (D, D); entry ij belongs to feature i of one view and j of the other.
        `cross_correlation` gives it.
      off_diagonal_weight: lambda, what redundancy costs against variance.

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import barlow_twins
      >>> print(barlow_twins(jnp.array([[0.5, 1.0], [0.0, 1.0]]), off_diagonal_weight=0.5))
      0.75
    """
    correlation = widen(correlation)
    diagonal = jnp.eye(len(correlation), dtype=bool)
    invariance = jnp.sum(jnp.square(jnp.where(diagonal, correlation - 1, 0)))
    redundancy = jnp.sum(jnp.square(jnp.where(diagonal, 0, correlation)))
    return invariance + off_diagonal_weight * redundancy


def cross_correlation(first: jax.Array, second: jax.Array) -> jax.Array:
    """The cross-correlation matrix (D, D) of two views' features (equation 2).

    Args:
      first: projections (B, D) of one view, each feature with mean 0 and variance 1 in the batch.
      second: those of the other view.

    Returns:
      ``first.T @ second / B``, in the precision of the rows.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import cross_correlation
      >>> rows = jnp.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
      >>> print(cross_correlation(rows, rows))
      [[1. 0.]
       [0. 1.]]
    """
    return jnp.matmul(first.T, second, precision=PRECISION) / len(first)
