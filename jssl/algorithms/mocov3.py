"""MoCo v3: find the teacher's target of the other view among those of the batch; no queue.

Chen, Xie, He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021,
arXiv 2104.02057.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import Fraction
from jssl.heads import MoCoV3Head
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import batch_similarities, in_batch_contrast
from jssl.memories.teacher import cosine_momentum, init_teacher, update_teacher
from jssl.networks import Network, each
from jssl.reference import (
    Hooks,
    Reference,
    as_dict,
    complemented,
    pair_elsewhere,
    take_growth,
    teacher_keys,
)


def _of_release_0(fields: dict[str, Any]) -> dict[str, Any]:
    """A model of release 0.x, whose transformer has the name of all others."""
    backbone = as_dict('backbone', fields.get('backbone'))
    if backbone.get('type') == 'VisionTransformer':
        backbone['type'] = 'MoCoV3ViT'
    return fields | {'backbone': backbone}


def _of_mmpretrain(fields: dict[str, Any]) -> dict[str, Any]:
    """A model of MMPretrain, whose transformer gives its class token alone."""
    fields = complemented('base_momentum')['mmpretrain'](fields)
    backbone, neck = (as_dict(part, fields.get(part)) for part in ('backbone', 'neck'))
    if str(backbone.get('type')).rpartition('.')[2] == 'MoCoV3ViT':
        neck['vit_backbone'] = True
    return fields | {'neck': neck}


@dataclasses.dataclass(frozen=True)
class MoCoV3(Algorithm):
    """MoCo v3; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the predictor, projections -> predictions (B, D), the temperature and the loss's weight.
      base_momentum: of the teacher at the first step; it follows half a cosine to 1 at the last.

    Raises:
      JsslError: if the momentum is not in [0, 1].
    """

    backbone: Backbone
    neck: Neck
    head: MoCoV3Head
    base_momentum: Fraction = 0.99

    reference: ClassVar[Reference] = Reference(
        keys=teacher_keys('momentum_encoder'),
        elsewhere=pair_elsewhere('base_encoder', 'momentum_encoder'),
        releases={'0.x': _of_release_0, 'mmpretrain': _of_mmpretrain},
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
        """Algorithm 1 of the paper; the targets of the global batch are the classes."""
        views, steps = two_views(batch, type(self).__name__), self.known_run.steps
        (z1, z2), stats = each(self.network, params, state['batch_stats'], views, method='encode')
        momentum = cosine_momentum(state['teacher']['steps'], steps, base=self.base_momentum)
        teacher = update_teacher(state['teacher'], params, stats, momentum)
        slow = teacher['params'], teacher['batch_stats']
        (k1, k2), teacher['batch_stats'] = each(self.network, *slow, views, method='encode')
        (q1, q2), stats = each(self.network, params, stats, (z1, z2), method='predict')
        first = in_batch_contrast(q1, k2, self.head.temperature)
        second = in_batch_contrast(q2, k1, self.head.temperature)
        found = batch_similarities(q1, k2).argmax(axis=1)
        metrics = {
            'momentum': momentum,
            'feature_std': feature_std(z1),
            'accuracy': jnp.mean(found == jnp.arange(len(found))),
        }
        loss = self.head.loss_weight * (first + second)
        return loss, ({**state, 'batch_stats': stats, 'teacher': teacher}, metrics)

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing: the momentum grows to 1 without a hook."""
        del model
        take_growth(hooks)
        return {}
