"""MoCo v3: find the other view's momentum target among those of the batch; no queue.

Chen, Xie, He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021,
arXiv 2104.02057.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State
from jssl.algorithms.momentum_pair import MomentumPair
from jssl.checks import Fraction
from jssl.heads import MoCoV3Head
from jssl.losses import cross_entropy


@dataclasses.dataclass(frozen=True)
class MoCoV3(MomentumPair):
    """MoCo v3; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone, neck, base_momentum: see `MomentumPair`.
      head: the predictor and the similarities.
    """

    head: MoCoV3Head
    base_momentum: Fraction = 0.99

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Algorithm 1 of the paper; the targets of the global batch are the classes."""
        predictions, targets, state, metrics = self.predict_targets(params, state, batch)
        labels = jnp.arange(len(targets[0]))
        first = self.head.logits(predictions[0], targets[1])
        second = self.head.logits(predictions[1], targets[0])
        loss = cross_entropy(first, labels) + cross_entropy(second, labels)
        accuracy = jnp.mean(first.argmax(axis=1) == labels)
        return self.head.loss_weight * loss, (state, {**metrics, 'accuracy': accuracy})
