"""TiCo: a view agrees with a teacher's of the other, away from where all embeddings lie.

Zhu, Moraes, Karakulak, Sobol, Canziani, LeCun, "TiCo: Transformation Invariance and Covariance
Contrast for Self-Supervised Visual Representation Learning", arXiv 2206.10698.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import Fraction, NonNegative
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import tico
from jssl.memories import cosine_momentum, init_teacher, update_covariance, update_teacher
from jssl.networks import Encoder, forward
from jssl.reference import Reference, teacher_keys


@dataclasses.dataclass(frozen=True)
class TiCo(Algorithm):
    """TiCo; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> embeddings (B, D).
      base_momentum: of the teacher at the first step; it follows half a cosine to 1 at the last.
      covariance_momentum: beta, the share of the covariance that stays at a step.
      weight: rho, what lying along the covariance costs.

    Raises:
      JsslError: for numbers out of range.
    """

    backbone: Backbone
    neck: Neck
    base_momentum: Fraction = 0.99
    covariance_momentum: Fraction = 0.9
    weight: NonNegative = 8.0

    reference: ClassVar[Reference] = Reference(keys=teacher_keys('teacher'))

    @property
    def encoder(self) -> Encoder:
        """Backbone and neck as one module; the teacher has both."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state adds the `teacher` and a covariance of 0."""
        outputs, variables = self.encoder.init_with_output(rng, batch['views'][0], train=False)
        params, stats = variables['params'], variables.get('batch_stats', {})
        covariance = jnp.zeros((outputs.shape[-1],) * 2, jnp.promote_types(outputs.dtype, 'f4'))
        teacher = init_teacher(params, stats)
        return params, {'batch_stats': stats, 'teacher': teacher, 'covariance': covariance}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 6, with the covariance after this batch."""
        first, second = two_views(batch, 'TiCo')
        z, stats = forward(self.encoder, params, state['batch_stats'], first)
        steps = self.known_run.steps
        momentum = cosine_momentum(state['teacher']['steps'], steps, base=self.base_momentum)
        teacher = update_teacher(state['teacher'], params, stats, momentum)
        slow = teacher['params'], teacher['batch_stats']
        target, teacher['batch_stats'] = forward(self.encoder, *slow, second)
        covariance = update_covariance(state['covariance'], z, self.covariance_momentum)
        loss = tico(z, jax.lax.stop_gradient(target), covariance, self.weight)
        after = {'batch_stats': stats, 'teacher': teacher, 'covariance': covariance}
        metrics = {'momentum': momentum, 'feature_std': feature_std(z)}
        return loss, ({**state, **after}, metrics)
