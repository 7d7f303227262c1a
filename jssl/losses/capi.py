"""Assignments of patches to clusters that are learned online, the targets of CAPI.

Darcet, Baldassarre, Oquab, Mairal, Bojanowski, "Cluster and Predict Latent Patches for Improved
Masked Image Modeling", TMLR 2025, arXiv 2502.08769.
"""

import jax
import jax.numpy as jnp

from jssl.layers.widen import widen


def capi_targets(
    logits: jax.Array, temperature: float = 0.06, rounds: int = 3, *, by_position: bool = True
) -> jax.Array:
    """Soft assignments by Sinkhorn-Knopp, without gradient (section 3.2).

    At each position clusters are used alike over the images of the batch, so that a cluster can
    not stand for a place. The clustering loss and the student's are `soft_cross_entropy` with these
    targets at temperature 0.12.

    Args:
      logits: (L, B, K), at L positions of B images.
      temperature: the smaller, the harder.
      rounds: how often clusters and patches are scaled.
      by_position: False uses clusters alike over all positions together.

    Returns:
      (L, B, K), rows sum to 1, in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import capi_targets
      >>> logits = jnp.array([[[1.0, 0.8], [1.0, 0.2]]])  # both images prefer the first cluster
      >>> print(capi_targets(logits).argmax(axis=2))
      [[1 0]]
    """
    logits = jax.lax.stop_gradient(widen(logits)) / temperature
    groups = logits if by_position else logits.reshape(1, -1, logits.shape[-1])
    # The reference's constants: 50 keeps small entries in float32, 1e-8 the quotients finite.
    shares = jnp.exp(groups - groups.max(axis=1, keepdims=True) + 50)
    for _ in range(rounds):
        shares /= shares.sum(axis=1, keepdims=True) + 1e-8
        shares /= shares.sum(axis=2, keepdims=True) + 1e-8
    return shares.reshape(logits.shape)
