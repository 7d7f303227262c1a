"""Gram anchoring: patches stay as similar to each other as an earlier teacher had them.

Simeoni et al., "DINOv3", arXiv 2508.10104, section 4.2.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import widen

Negatives = Literal['of both', 'of the anchors'] | None


def gram_anchoring(
    patches: jax.Array,
    anchors: jax.Array,
    *,
    per_image: bool = True,
    normalize: bool = True,
    no_negatives: Negatives = None,
    present: jax.Array | None = None,
) -> jax.Array:
    """The mean squared difference of two matrices of similarities (equation 2).

    ``mean (X X^T - G G^T)^2`` over all pairs of patches of an image, and over images.

    Args:
      patches: X (B, n, D), the student's.
      anchors: G (B, n, D), the Gram teacher's, at the same places; they get no gradient.
      per_image: whether pairs are of one image, or of the whole batch.
      normalize: whether similarities are cosines.
      no_negatives: whose negative similarities count as 0.
      present: bool (B, n), the patches whose pairs count; None for all.

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import gram_anchoring
      >>> alike, different = jnp.array([[[1.0, 0.0], [1.0, 0.0]]]), jnp.eye(2)[None]
      >>> print(gram_anchoring(alike, different))  # two of four similarities are 1 and not 0
      0.5
    """
    ours, theirs = (
        _similarities(x, per_image, normalize) for x in (patches, jax.lax.stop_gradient(anchors))
    )
    if no_negatives == 'of both':
        ours = jax.nn.relu(ours)
    if no_negatives is not None:
        theirs = jax.nn.relu(theirs)
    squares = jnp.square(ours - theirs)
    if present is None:
        return jnp.mean(squares)
    rows = present if per_image else present.reshape(1, -1)
    pairs = rows[:, :, None] & rows[:, None, :]
    return jnp.sum(squares, where=pairs) / jnp.maximum(jnp.sum(pairs), 1)


def _similarities(x: jax.Array, per_image: bool, normalize: bool) -> jax.Array:
    x = l2_normalize(x) if normalize else widen(x)
    x = x if per_image else x.reshape(1, -1, x.shape[-1])
    return jnp.einsum('bnd,bmd->bnm', x, x, precision=jax.lax.Precision.HIGHEST)
