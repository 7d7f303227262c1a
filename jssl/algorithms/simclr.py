"""SimCLR: pull the two views of an image together, push all other images of the batch away.

Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, arXiv 2002.05709.
"""

import dataclasses
from typing import ClassVar

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, interleaved, two_views
from jssl.heads import ContrastiveHead
from jssl.kinds import Backbone, Neck
from jssl.losses import contrast_accuracy, nt_xent, pair_similarities
from jssl.networks import Encoder, forward
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class SimCLR(Algorithm):
    """SimCLR; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the constants of the loss.
    """

    backbone: Backbone
    neck: Neck
    head: ContrastiveHead

    reference: ClassVar[Reference] = Reference(rows=2, gathered=True)

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
        images = interleaved(views)
        z, stats = forward(self.encoder, params, state['batch_stats'], images)
        first, second = z.reshape(len(views[0]), 2, -1).swapaxes(0, 1)
        loss = self.head.loss_weight * nt_xent(first, second, self.head.temperature)
        metrics = {'accuracy': contrast_accuracy(*pair_similarities(first, second))}
        return loss, ({**state, 'batch_stats': stats}, metrics)
