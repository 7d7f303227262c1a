"""SimSiam: predict the projection of the other view; a stop-gradient replaces the momentum copy.

Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv 2011.10566.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.heads import LatentPredictHead
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import negative_cosine
from jssl.networks import Network, each
from jssl.reference import Hooks, Reference, pair_elsewhere


@dataclasses.dataclass(frozen=True)
class SimSiam(Algorithm):
    """SimSiam; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the predictor, and the constants of the loss.
    """

    backbone: Backbone
    neck: Neck
    head: LatentPredictHead

    reference: ClassVar[Reference] = Reference(elsewhere=pair_elsewhere('encoder'))

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
        """The negative cosine, symmetric in the views (equation 4, algorithm 1): from -1 to 1."""
        views, stats = two_views(batch, 'SimSiam'), state['batch_stats']
        (z1, z2), stats = each(self.network, params, stats, views, method='encode')
        (p1, p2), stats = each(self.network, params, stats, (z1, z2), method='predict')
        first = self.distance(p1, jax.lax.stop_gradient(z2))
        second = self.distance(p2, jax.lax.stop_gradient(z1))
        metrics = {'feature_std': feature_std(z1)}
        return (first + second) / 2, ({**state, 'batch_stats': stats}, metrics)

    def distance(self, prediction: jax.Array, target: jax.Array) -> jax.Array:
        """D of the paper (equation 1), of predictions and targets (B, D)."""
        return negative_cosine(prediction, target, shift=self.head.shift, scale=self.head.scale)

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing: a rate of its own for the predictor is the optimizer's here."""
        if hook := hooks.get('SimSiamHook'):
            hook.ignore('adjust_by_epoch')  # the rate is the same at every step of an epoch
            rate = hook.take('lr')
            if hook.take('fix_pred_lr', True):
                keys = {'predictor': {'fix_lr': True}}
                hook.elsewhere['optimizer'] = {'lr': rate, 'custom_keys': keys}
        return {}
