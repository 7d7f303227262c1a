"""BYOL: predict a slow copy's projection of the other view; no negatives.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020,
arXiv 2006.07733.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import Fraction
from jssl.heads import LatentPredictHead
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import byol_regression
from jssl.memories.teacher import cosine_momentum, init_teacher, update_teacher
from jssl.networks import Network, each
from jssl.reference import Hooks, Reference, complemented, pair_elsewhere, take_growth, teacher_keys


@dataclasses.dataclass(frozen=True)
class BYOL(Algorithm):
    """BYOL; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the predictor, projections -> predictions (B, D), and what scales the loss.
      base_momentum: of the teacher at the first step; it follows half a cosine to 1 at the last.

    Raises:
      JsslError: if the momentum is not in [0, 1].
    """

    backbone: Backbone
    neck: Neck
    head: LatentPredictHead
    base_momentum: Fraction = 0.996

    reference: ClassVar[Reference] = Reference(
        keys=teacher_keys('target_net'),
        elsewhere=pair_elsewhere('online_net', 'target_net'),
        releases=complemented('base_momentum'),
    )

    @property
    def network(self) -> Network:
        """Backbone, neck and predictor as one module; the teacher has the first two."""
        return Network(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of all three parts; the state adds the `teacher`."""
        variables = self.network.init(rng, batch['views'][0], train=False)
        params, stats = variables['params'], variables.get('batch_stats', {})
        return params, {'batch_stats': stats, 'teacher': init_teacher(params, stats)}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 2 for both orders of the views, without its constant 4: from -4 to 4."""
        views, steps = two_views(batch, type(self).__name__), self.known_run.steps
        (z1, z2), stats = each(self.network, params, state['batch_stats'], views, method='encode')
        momentum = cosine_momentum(state['teacher']['steps'], steps, base=self.base_momentum)
        teacher = update_teacher(state['teacher'], params, stats, momentum)
        slow = teacher['params'], teacher['batch_stats']
        (t1, t2), teacher['batch_stats'] = each(self.network, *slow, views, method='encode')
        (p1, p2), stats = each(self.network, params, stats, (z1, z2), method='predict')
        loss = self.distance(p1, t2) + self.distance(p2, t1)
        metrics = {'momentum': momentum, 'feature_std': feature_std(z1)}
        return loss, ({**state, 'batch_stats': stats, 'teacher': teacher}, metrics)

    def distance(self, prediction: jax.Array, target: jax.Array) -> jax.Array:
        """Twice the negative cosine of predictions and targets (B, D), as the head scales it."""
        shift, scale = 2 * self.head.shift, 2 * self.head.scale
        return byol_regression(prediction, target, shift=shift, scale=scale)

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing: the momentum grows to 1 without a hook."""
        del model
        take_growth(hooks)
        return {}
