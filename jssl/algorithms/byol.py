"""BYOL: predict a slow copy's projection of the other view; no negatives.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020,
arXiv 2006.07733.
"""

import dataclasses
from typing import ClassVar

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import Fraction
from jssl.heads import LatentPredictHead
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import byol_regression
from jssl.memories.teacher import cosine_momentum, init_teacher, update_teacher
from jssl.networks import Network, each
from jssl.reference import Reference, teacher_keys


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

    reference: ClassVar[Reference] = Reference(keys=teacher_keys('target_net'))

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
        views, steps = two_views(batch, 'BYOL'), self.known_run.steps
        z, stats = each(self.network, params, state['batch_stats'], views, method='encode')
        momentum = cosine_momentum(state['teacher']['steps'], steps, base=self.base_momentum)
        teacher = update_teacher(state['teacher'], params, stats, momentum)
        slow = teacher['params'], teacher['batch_stats']
        targets, teacher['batch_stats'] = each(self.network, *slow, views, method='encode')
        predictions, stats = each(self.network, params, stats, z, method='predict')
        scales = {'shift': 2 * self.head.shift, 'scale': 2 * self.head.scale}
        first = byol_regression(predictions[0], targets[1], **scales)
        second = byol_regression(predictions[1], targets[0], **scales)
        metrics = {'momentum': momentum, 'feature_std': feature_std(z[0])}
        return first + second, ({**state, 'batch_stats': stats, 'teacher': teacher}, metrics)
