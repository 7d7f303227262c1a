"""BYOL: predict a slow copy's projection of the other view; no negatives.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020,
arXiv 2006.07733.
"""

import dataclasses

import jax

from jssl.algorithm import Batch, Metrics, Params, State
from jssl.algorithms.momentum_pair import MomentumPair
from jssl.heads import LatentPredictHead


@dataclasses.dataclass(frozen=True)
class BYOL(MomentumPair):
    """BYOL; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone, neck, base_momentum: see `MomentumPair`.
      head: the predictor and the loss.
    """

    head: LatentPredictHead

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 2 for both orders of the views, without its constant 4: from -4 to 4."""
        predictions, targets, state, metrics = self.predict_targets(params, state, batch)
        first = self.head.loss(predictions[0], targets[1])
        second = self.head.loss(predictions[1], targets[0])
        return 2 * (first + second), (state, metrics)
