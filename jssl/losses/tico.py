"""Transformation invariance and covariance contrast, the loss of TiCo.

Zhu, Moraes, Karakulak, Sobol, Canziani, LeCun, "TiCo: Transformation Invariance and Covariance
Contrast for Self-Supervised Visual Representation Learning", arXiv 2206.10698.
"""

import jax
import jax.numpy as jnp

from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import PRECISION


def tico(
    embedding: jax.Array, target: jax.Array, covariance: jax.Array, weight: float = 8.0
) -> jax.Array:
    """``1 - mean z z' + weight mean z^T C z`` for unit rows z and z' (equation 6).

    Args:
      embedding: z (B, D), of any length.
      target: z' (B, D), the teacher's of the other view; whether a gradient flows into it is the
        caller's choice.
      covariance: C (D, D), a running mean that holds this batch, see
        `jssl.memories.update_covariance`; it gets no gradient.
      weight: rho.

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import tico
      >>> rows = jnp.array([[2.0, 0.0], [0.0, 2.0]])
      >>> print(tico(rows, rows, jnp.eye(2) / 2, weight=1.0))
      0.5
    """
    z, other = l2_normalize(embedding), l2_normalize(target)
    covariance = jax.lax.stop_gradient(covariance)
    spread = jnp.matmul(z, covariance, precision=PRECISION)
    return 1 - jnp.mean(jnp.sum(z * other, axis=1)) + weight * jnp.mean(jnp.sum(spread * z, axis=1))
