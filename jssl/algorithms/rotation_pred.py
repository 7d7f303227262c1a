"""Rotation prediction: by how many quarter turns was this image turned?

Gidaris, Singh, Komodakis, "Unsupervised Representation Learning by Predicting Image Rotations",
ICLR 2018, arXiv 1803.07728.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, interleaved
from jssl.errors import JsslError
from jssl.heads import ClsHead
from jssl.kinds import Backbone
from jssl.losses import cross_entropy
from jssl.necks import AvgPool2dNeck
from jssl.networks import Network, evaluate, forward
from jssl.reference import Reference

TURNS = 4


@dataclasses.dataclass(frozen=True)
class RotationPred(Algorithm):
    """Rotation prediction; `batch['views']` holds an image's four turns, each (B, H, W, C).

    Attributes:
      backbone: images -> features.
      head: pooled features -> logits of the four turns.
    """

    predicts = 'targets'

    backbone: Backbone
    head: ClsHead

    reference: ClassVar[Reference] = Reference(rows=4)

    @property
    def network(self) -> Network:
        """Backbone, pooling and head as one module."""
        return Network(backbone=self.backbone, neck=AvgPool2dNeck(), head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and head; the state is their batch statistics."""
        variables = self.network.init(rng, batch['views'][0], train=False)
        return variables['params'], {'batch_stats': variables.get('batch_stats', {})}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Lays the turns of each image side by side, one view (4B, H, W, C), and adds `target`."""
        del rng, state
        views = batch['views']
        if len(views) != TURNS:
            raise JsslError(
                f'RotationPred needs four turns of each image and got {len(views)} views; set '
                "config.views to a policy of type 'Rotations'."
            )
        images = interleaved(views)
        target = jnp.tile(jnp.arange(TURNS), len(views[0]))
        return {**batch, 'views': (images,), 'target': target}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Cross entropy of the turns, all in one pass (equation 3)."""
        (images,), target = batch['views'], batch['target'].reshape(-1)
        logits, stats = forward(self.network, params, state['batch_stats'], images)
        metrics = {'accuracy': jnp.mean(logits.argmax(axis=1) == target)}
        return cross_entropy(logits, target), ({**state, 'batch_stats': stats}, metrics)

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """Logits (4B, 4) of the quarter turns, clockwise."""
        (images,) = batch['views']
        return evaluate(self.network, params, state['batch_stats'], images)
