"""KoLeo: features of a batch keep their distance, a regulariser of DINOv2.

Sablayrolles, Douze, Schmid, Jegou, "Spreading vectors for similarity search", ICLR 2019, arXiv
1806.03198, equation 2; Oquab et al., "DINOv2", arXiv 2304.07193, section 4.
"""

import jax
import jax.numpy as jnp
import optax

from jssl.errors import JsslError
from jssl.layers.widen import widen


def koleo(features: jax.Array, *, group_size: int | None = None, neighbors: int = 1) -> jax.Array:
    """Minus the mean logarithm of the distance to the nearest other feature on the unit sphere.

    The gradient flows through both features, and not through the choice of the nearest.

    Args:
      features: (n, D), of any length.
      group_size: features of a group in which the nearest is looked for, a divisor of n; None looks
        among all. The reference looks among those of a device and DINOv3 in groups of 16.
      neighbors: of each feature, the k nearest; the mean is over all of them.

    Returns:
      A scalar, computed in at least float32.

    Raises:
      JsslError: if a group has no more features than `neighbors`, or n is no multiple of it.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import koleo
      >>> print(f'{koleo(jnp.array([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])):.4f}')
      -0.1195
    """
    size = group_size or len(features)
    if len(features) % size:
        raise JsslError(
            f'config.model.koleo_group_size={size} does not divide the {len(features)} features '
            f'of a view; set it to a divisor of {len(features)}, or change config.batch_size.'
        )
    if size <= neighbors:
        larger = 'config.batch_size' if group_size is None else 'config.model.koleo_group_size'
        raise JsslError(
            f'KoLeo looks for the {neighbors} nearest of each feature, and a group of {size} has '
            f'{size - 1} others; set {larger} to {neighbors + 1} or more.'
        )
    x = widen(features)
    x = (x / optax.safe_norm(x, 1e-8, axis=-1, keepdims=True)).reshape(-1, size, x.shape[-1])
    cosines = jnp.einsum('gnd,gmd->gnm', x, x, precision=jax.lax.Precision.HIGHEST)
    cosines = jnp.where(jnp.eye(size, dtype=bool), -1, jax.lax.stop_gradient(cosines))
    _, nearest = jax.lax.top_k(cosines, neighbors)
    found = jax.vmap(lambda group, index: group[index])(x, nearest)  # (groups, size, k, D)
    # The reference adds 1e-8 to every entry of a difference, so that no distance is 0.
    distances = jnp.linalg.norm(x[:, :, None] - found + 1e-8, axis=-1)
    return -jnp.mean(jnp.log(distances + 1e-8))
