"""Running means of a teacher's outputs: the center of DINO, the covariance of TiCo.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, arXiv
2104.14294. Zhu et al., "TiCo: Transformation Invariance and Covariance Contrast for Self-Supervised
Visual Representation Learning", arXiv 2206.10698.
"""

import jax
import jax.numpy as jnp

from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import widen


def update_center(center: jax.Array, mean: jax.Array, momentum: float = 0.9) -> jax.Array:
    """``momentum center + (1 - momentum) mean`` (equation 4 of DINO), without gradient.

    Args:
      center: (..., K).
      mean: (..., K), of the teacher's logits over the whole batch, of all devices.
      momentum: the share of the center that stays.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(update_center(jnp.zeros(2), jnp.array([10.0, 20.0])).round(3))
      [1. 2.]
    """
    moved = momentum * center + (1 - momentum) * mean
    return jax.lax.stop_gradient(moved.astype(center.dtype))


def update_covariance(covariance: jax.Array, rows: jax.Array, momentum: float = 0.9) -> jax.Array:
    """``momentum C + (1 - momentum) Z^T Z / B`` of unit rows Z (equation 5 of TiCo).

    Args:
      covariance: C (D, D); 0 before the first update.
      rows: (B, D) of the whole batch, of any length; they get no gradient.
      momentum: the share of the matrix that stays.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(update_covariance(jnp.zeros((2, 2)), 3 * jnp.eye(2), momentum=0.0))
      [[0.5 0. ]
       [0.  0.5]]
    """
    z = l2_normalize(jax.lax.stop_gradient(widen(rows)))
    found = jnp.matmul(z.T, z, precision=jax.lax.Precision.HIGHEST) / len(z)
    return update_center(covariance, found, momentum)
