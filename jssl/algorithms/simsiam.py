"""SimSiam: predict the projection of the other view; a stop-gradient replaces the momentum copy.

Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv 2011.10566.
"""

import dataclasses

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.heads import LatentPredictHead
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.networks import Network, each


@dataclasses.dataclass(frozen=True)
class SimSiam(Algorithm):
    """SimSiam; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the predictor and the loss.
    """

    backbone: Backbone
    neck: Neck
    head: LatentPredictHead

    @property
    def network(self) -> Network:
        """Backbone, neck and head as one module."""
        return Network(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of all three parts; the state is their batch statistics."""
        variables = self.network.init(rng, batch['views'][0], train=False)
        return variables['params'], {'batch_stats': variables.get('batch_stats', {})}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 4, symmetric in the views: from -1 to 1."""
        views, stats = two_views(batch, 'SimSiam'), state['batch_stats']
        projections, stats = each(self.network, params, stats, views, method='encode')
        predictions, stats = each(self.network, params, stats, projections, method='predict')
        first = self.head.loss(predictions[0], projections[1])
        second = self.head.loss(predictions[1], projections[0])
        metrics = {'feature_std': feature_std(projections[0])}
        return (first + second) / 2, ({**state, 'batch_stats': stats}, metrics)
