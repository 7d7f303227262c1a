"""Barlow Twins: every feature agrees between two views of an image, and with no other feature.

Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-Supervised Learning via Redundancy
Reduction", ICML 2021, arXiv 2103.03230.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.heads import LatentCrossCorrelationHead
from jssl.kinds import Backbone, Neck
from jssl.losses import barlow_twins
from jssl.networks import Encoder, each, forward
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class BarlowTwins(Algorithm):
    """Barlow Twins; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D), not normalised.
      head: projections of both views -> correlations (D, D), of features normalised in the batch.
    """

    backbone: Backbone
    neck: Neck
    head: LatentCrossCorrelationHead

    reference: ClassVar[Reference] = Reference(gathered=True)

    @property
    def encoder(self) -> Encoder:
        """Backbone and neck as one module."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state is the statistics of these and the head."""
        projections, variables = self.encoder.init_with_output(rng, batch['views'][0], train=False)
        head = self.head.init(rng, projections, projections, train=False)
        stats = {**variables.get('batch_stats', {}), 'head': head['batch_stats']}
        return variables['params'], {'batch_stats': stats}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The distance of the correlations from the identity (equation 1 and algorithm 1)."""
        views, stats = two_views(batch, 'BarlowTwins'), state['batch_stats']
        (z1, z2), stats = each(self.encoder, params, stats, views)
        correlation, head_stats = forward(self.head, {}, stats['head'], z1, z2)
        loss = barlow_twins(correlation, self.head.off_diagonal_weight)
        state = {**state, 'batch_stats': {**stats, 'head': head_stats}}
        return self.head.loss_weight * loss, (state, correlations(correlation))


def correlations(correlation: jax.Array) -> Metrics:
    """What to watch in a correlation matrix (D, D): both are 1 and 0 at the optimum.

    Returns:
      `on_diagonal`, the mean agreement of a feature with itself, and `off_diagonal`, the root mean
      square of its correlations with others.
    """
    diagonal = jnp.diagonal(correlation)
    others = jnp.sum(jnp.square(correlation)) - jnp.sum(jnp.square(diagonal))
    pairs = max(correlation.size - len(diagonal), 1)
    return {
        'on_diagonal': jnp.mean(diagonal),
        'off_diagonal': jnp.sqrt(jnp.maximum(others, 0) / pairs),
    }
