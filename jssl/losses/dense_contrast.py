"""InfoNCE of the cells of maps, the dense loss of DenseCL.

Wang, Zhang, Shen, Kong, Li, "Dense Contrastive Learning for Self-Supervised Visual Pre-Training",
CVPR 2021, arXiv 2011.09157.
"""

import jax

from jssl.losses.info_nce import info_nce


def dense_contrast(
    query: jax.Array, positive: jax.Array, queue: jax.Array, temperature: float = 0.2
) -> jax.Array:
    """InfoNCE of every cell against a queue, averaged over cells and images (equation 2).

    One cell of all images at a time, whose similarities the backward pass computes again: those of
    all cells would be S * S times as large (3.3 GB for a batch of 256).

    Args:
      query: unit rows (B, S * S, D), the cells of one view.
      positive: unit rows (B, S * S, D), for each the matching cell of the other view.
      queue: unit rows (K, D), pooled cells of other images.
      temperature: divides the similarities.

    Returns:
      A scalar in nats, computed in the precision of the rows and at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import dense_contrast
      >>> cells = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
      >>> queue = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
      >>> print(f'{dense_contrast(cells, cells, queue, temperature=0.5):.4f}')
      0.4508
    """

    @jax.checkpoint
    def of_one_cell(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        return info_nce(*pair, queue, temperature)

    pairs = (query.swapaxes(0, 1), positive.swapaxes(0, 1))
    return jax.lax.map(of_one_cell, pairs).mean()
