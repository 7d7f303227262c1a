"""LeJEPA: views agree with the mean of the global ones, and embeddings are a standard normal.

Balestriero, LeCun, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics",
arXiv 2511.08544. No teacher, no stopped gradient, no predictor, nothing remembered.
"""

import dataclasses

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.checks import Count, Fraction
from jssl.errors import JsslError
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import sigreg, view_spread
from jssl.networks import CropNetwork, by_size, forward


@dataclasses.dataclass(frozen=True)
class LeJEPA(Algorithm):
    """LeJEPA; `batch['views']` holds any number of arrays (B, h, w, C), the global ones first.

    Attributes:
      backbone: images -> features.
      neck: features -> embeddings (B, D), not normalised.
      feat_dim: D.
      global_views: how many views come first whose mean all views are to agree with.
      slices: K, random directions of a step along which embeddings are tested.
      weight: lambda, the share of SIGReg in the loss; the rest is that of the agreement.

    Raises:
      JsslError: for numbers out of range.
    """

    backbone: Backbone
    neck: Neck
    feat_dim: Count = 128
    global_views: Count = 2
    slices: Count = 256
    weight: Fraction = 0.02

    @property
    def encoder(self) -> CropNetwork:
        """Backbone and neck as one module."""
        return CropNetwork(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state is their batch statistics.

        Raises:
          JsslError: if the neck's embeddings are not `feat_dim` wide, or views are missing.
        """
        crops = by_size(batch['views'])
        outputs, variables = self.encoder.init_with_output(rng, crops, train=False)
        if outputs.shape[-1] != self.feat_dim:
            raise JsslError(
                f'config.model.feat_dim={self.feat_dim}, but '
                f'config.model.neck.out_channels={outputs.shape[-1]}; give both the same value.'
            )
        self._check(batch)
        return variables['params'], {'batch_stats': variables.get('batch_stats', {})}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds `directions` (D, K), the same on all devices."""
        del state
        return {**batch, 'directions': jax.random.normal(rng, (self.feat_dim, self.slices))}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 7; the statistic of each view is that of the global batch."""
        self._check(batch)
        crops = by_size(batch['views'])
        embeddings, stats = forward(self.encoder, params, state['batch_stats'], crops)
        normality = sigreg(embeddings, batch['directions'])
        agreement = view_spread(embeddings, self.global_views)
        loss = self.weight * normality + (1 - self.weight) * agreement
        metrics = {
            'sigreg': normality,
            'invariance': agreement,
            'feature_std': feature_std(embeddings[0]),
        }
        return loss, ({**state, 'batch_stats': stats}, metrics)

    def _check(self, batch: Batch) -> None:
        views = len(batch['views'])
        if views < max(self.global_views, 2):
            raise JsslError(
                f'LeJEPA compares views with the mean of config.model.global_views='
                f'{self.global_views} of them, at least two in all, and got {views}; set '
                'config.views to a policy of more, such as MultiCrop, or MultiView with copies=2.'
            )
