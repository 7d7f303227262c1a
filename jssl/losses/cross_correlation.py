"""How far a cross-correlation matrix is from the identity."""

import jax
import jax.numpy as jnp


def cross_correlation(correlation: jax.Array, off_diagonal_weight: float = 0.0051) -> jax.Array:
    """``sum_i (C_ii - 1)^2 + weight sum_{i != j} C_ij^2`` (Zbontar et al. 2021, equation 1).

    Args:
      correlation: C (D, D); entry ij belongs to feature i of one view and j of the other.
      off_diagonal_weight: lambda, what redundancy costs against variance.

    Returns:
      A scalar, computed in at least float32.
    """
    correlation = correlation.astype(jnp.promote_types(correlation.dtype, jnp.float32))
    invariance = jnp.sum(jnp.square(jnp.diagonal(correlation) - 1))
    diagonal = jnp.eye(len(correlation), dtype=bool)
    redundancy = jnp.sum(jnp.square(jnp.where(diagonal, 0, correlation)))
    return invariance + off_diagonal_weight * redundancy
