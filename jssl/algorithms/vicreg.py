"""VICReg: two views agree, every feature varies, and no feature tells of another.

Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
Learning", ICLR 2022, arXiv 2105.04906. As in its code, the variance term is the mean of the two
views' and not their sum.
"""

import dataclasses

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import NonNegative
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import covariance_penalty, invariance, variance_hinge
from jssl.networks import Encoder, each


@dataclasses.dataclass(frozen=True)
class VICReg(Algorithm):
    """VICReg; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> embeddings (B, D), not normalised; the paper calls it the expander.
      invariance_weight: lambda, of the distance between views.
      variance_weight: mu, of what standard deviations lack of 1.
      covariance_weight: nu, of the covariances of different features.

    Raises:
      JsslError: for a negative weight.
    """

    backbone: Backbone
    neck: Neck
    invariance_weight: NonNegative = 25.0
    variance_weight: NonNegative = 25.0
    covariance_weight: NonNegative = 1.0

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
        """Equation 6 over the global batch; each view has batch statistics of its own."""
        views = two_views(batch, 'VICReg')
        (first, second), stats = each(self.encoder, params, state['batch_stats'], views)
        terms = {
            'invariance': invariance(first, second),
            'variance': (variance_hinge(first) + variance_hinge(second)) / 2,
            'covariance': covariance_penalty(first) + covariance_penalty(second),
        }
        loss = (
            self.invariance_weight * terms['invariance']
            + self.variance_weight * terms['variance']
            + self.covariance_weight * terms['covariance']
        )
        metrics = {**terms, 'feature_std': feature_std(first)}
        return loss, ({**state, 'batch_stats': stats}, metrics)
