"""SimCLR: pull the two views of an image together, push all other images of the batch away.

Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, arXiv 2002.05709.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.errors import JsslError
from jssl.heads import ContrastiveHead
from jssl.losses import cross_entropy
from jssl.networks import Encoder, forward


@dataclasses.dataclass(frozen=True)
class SimCLR(Algorithm):
    """SimCLR; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: similarities -> logits.
    """

    backbone: nn.Module
    neck: nn.Module
    head: ContrastiveHead

    @property
    def encoder(self) -> Encoder:
        """Backbone and neck as one module."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state is their batch statistics."""
        variables = self.encoder.init(rng, batch['views'][0], train=False)
        return variables['params'], {'batch_stats': variables.get('batch_stats', {})}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """NT-Xent over the 2B views of the global batch (equation 1 and algorithm 1)."""
        views = two_views(batch, 'SimCLR')
        # One pass for both views, interleaved (a0 b0 a1 b1 ...), so that they share BN statistics.
        images = jnp.stack(views, axis=1).reshape(-1, *views[0].shape[1:])
        projections, stats = forward(self.encoder, params, state['batch_stats'], images)
        logits = self.head(*pair_similarities(projections))
        labels = jnp.zeros(len(logits), jnp.int32)
        loss = self.head.loss_weight * cross_entropy(logits, labels)
        metrics = {'accuracy': jnp.mean(logits[:, 0] > logits[:, 1:].max(axis=1))}
        return loss, ({**state, 'batch_stats': stats}, metrics)


def pair_similarities(projections: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine similarities of interleaved pairs (rows 2i and 2i + 1 are views of one image).

    Args:
      projections: (2B, D).

    Returns:
      To the partner (2B, 1), and to all others (2B, 2B) with minus infinity at a row's own and its
      partner's place: masking keeps the matrix whole, so that it shards over devices by rows.

    Raises:
      JsslError: for the views of a single image, whose loss would be 0 whatever they are.
    """
    if len(projections) < 4:
        raise JsslError(
            'SimCLR tells the views of an image from those of others, and a batch of one image has '
            'no others; set config.batch_size to 2 or more.'
        )
    z = projections.astype(jnp.promote_types(projections.dtype, jnp.float32))
    z /= optax.safe_norm(z, 0.0, axis=1, keepdims=True) + 1e-10
    similarity = jnp.matmul(z, z.T, precision=jax.lax.Precision.HIGHEST)
    image = jnp.arange(len(z)) // 2
    partner = jnp.arange(len(z)) ^ 1
    positive = jnp.take_along_axis(similarity, partner[:, None], axis=1)
    return positive, jnp.where(image[:, None] == image, -jnp.inf, similarity)
