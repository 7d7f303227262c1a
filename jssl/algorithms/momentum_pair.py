"""What BYOL and MoCo v3 share: predictions of each view, and targets from a momentum network."""

import dataclasses
from collections.abc import Sequence

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import Fraction
from jssl.kinds import Backbone, Head, Neck
from jssl.layers.normalize import feature_std
from jssl.memories.ema import cosine_momentum, init_teacher, update_teacher
from jssl.networks import Encoder, Network, each

Pair = list[jax.Array]  # of the first view and of the second, each (B, D)


@dataclasses.dataclass(frozen=True)
class MomentumPair(Algorithm):
    """An online network with a predictor and its slow copy; a subclass gives head and loss.

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: a predictor, projections -> predictions (B, D).
      base_momentum: of the copy at the first step; it follows half a cosine to 1 at the last.

    Raises:
      JsslError: if the momentum is not in [0, 1].
    """

    backbone: Backbone
    neck: Neck
    head: Head
    base_momentum: Fraction = 0.996

    @property
    def encoder(self) -> Encoder:
        """Backbone and neck as one module: the momentum network."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    @property
    def network(self) -> Network:
        """Backbone, neck and head as one module: the online network."""
        return Network(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of all three parts; the state adds `teacher`, the copy of the first two."""
        variables = self.network.init(rng, batch['views'][0], train=False)
        params, stats = variables['params'], variables.get('batch_stats', {})
        return params, {'batch_stats': stats, 'teacher': init_teacher(params, stats)}

    def predict_targets(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[Pair, Pair, State, Metrics]:
        """All passes of a step, the update of the copy between them.

        Returns:
          The predictions of both views, their targets, the state after it and what to watch.
        """
        views = two_views(batch, type(self).__name__)
        projections, stats = self._online(params, state['batch_stats'], views, 'encode')
        momentum = self.momentum(state['teacher']['steps'])
        teacher = update_teacher(state['teacher'], params, stats, momentum)
        slow, slow_stats = teacher['params'], teacher['batch_stats']
        targets, slow_stats = each(self.encoder, slow, slow_stats, views)
        predictions, stats = self._online(params, stats, projections, 'predict')
        after = {'batch_stats': stats, 'teacher': {**teacher, 'batch_stats': slow_stats}}
        metrics = {'momentum': momentum, 'feature_std': feature_std(projections[0])}
        return predictions, targets, {**state, **after}, metrics

    def _online(
        self, params: Params, stats: State, inputs: Sequence[jax.Array], method: str
    ) -> tuple[Pair, State]:
        """The online network's method on each of `inputs`, and its batch statistics after that."""
        return each(self.network, params, stats, inputs, method=method)

    def momentum(self, updates: jax.Array) -> jax.Array:
        """The momentum after so many updates."""
        return cosine_momentum(updates, self.known_run.steps, base=self.base_momentum)
