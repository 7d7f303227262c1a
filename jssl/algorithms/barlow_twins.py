"""Barlow Twins: every feature agrees between two views of an image, and with no other feature.

Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-Supervised Learning via Redundancy
Reduction", ICML 2021, arXiv 2103.03230.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.heads import LatentCrossCorrelationHead
from jssl.kinds import Backbone, Neck
from jssl.losses import barlow_twins
from jssl.networks import forward


class Twins(nn.Module):
    """Both views through one encoder and into the head."""

    backbone: nn.Module
    neck: nn.Module
    head: nn.Module

    def __call__(self, first: jax.Array, second: jax.Array, train: bool = True) -> jax.Array:
        """Two views (B, H, W, C) -> what the head makes of their projections.

        Two passes, the first view's before the second's, so that each has statistics of its own.
        """
        projections = [self.encode(view, train) for view in (first, second)]
        return self.head(*projections, train=train)

    def encode(self, images: jax.Array, train: bool = True) -> jax.Array:
        """Images (B, H, W, C) -> projections (B, D)."""
        return self.neck(self.backbone(images, train=train), train=train)


@dataclasses.dataclass(frozen=True)
class BarlowTwins(Algorithm):
    """Barlow Twins; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D), not normalised.
      head: projections of both views -> correlations (D, D).
    """

    backbone: Backbone
    neck: Neck
    head: LatentCrossCorrelationHead

    @property
    def network(self) -> Twins:
        """Backbone, neck and head as one module."""
        return Twins(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state is the statistics of these and the head."""
        first = batch['views'][0]
        variables = self.network.init(rng, first, first, train=False)
        return variables['params'], {'batch_stats': variables['batch_stats']}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The distance of the correlations from the identity (equation 1 and algorithm 1)."""
        views = two_views(batch, 'BarlowTwins')
        correlation, stats = forward(self.network, params, state['batch_stats'], *views)
        loss = barlow_twins(correlation, self.head.off_diagonal_weight)
        metrics = correlations(correlation)
        return self.head.loss_weight * loss, ({**state, 'batch_stats': stats}, metrics)


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
