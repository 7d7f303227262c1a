"""SwAV: the prototypes that one view of an image is assigned to are predicted from its others.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual Features by
Contrasting Cluster Assignments", NeurIPS 2020, arXiv 2006.09882.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.checks import Natural
from jssl.errors import JsslError
from jssl.heads import SwAVHead
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import PRECISION
from jssl.losses import sinkhorn, swapped_prediction
from jssl.memories import feature_queue
from jssl.networks import CropNetwork, by_size, forward
from jssl.reference import Hooks, Reference

PROTOTYPES = 'loss.prototypes'  # of params['head']; its kernel (D, K) holds one in each column


@dataclasses.dataclass(frozen=True)
class SwAV(Algorithm):
    """SwAV; `batch['views']` holds arrays (B, H, W, C), those of equal size side by side.

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D) of unit length.
      head: projections -> scores against the prototypes.
      queue_length: projections of former batches that help to make the codes, for each view that is
        assigned; rounded down to whole batches. 0 for no queue.
      queue_start_epoch: epoch, from 0, in which the queue begins to fill. It is used once full.
      freeze_prototypes: steps at the start of the run in which the prototypes do not move.

    Raises:
      JsslError: for a negative number.
    """

    backbone: Backbone
    neck: Neck
    head: SwAVHead
    queue_length: Natural = 0
    queue_start_epoch: Natural = 15
    freeze_prototypes: Natural = 0

    reference: ClassVar[Reference] = Reference(
        elsewhere={
            'head.prototypes.': 'head.loss.prototypes.',
            'head.loss_module.prototypes.': 'head.loss.prototypes.',
        },
        rows=0,  # two, then six
    )

    @property
    def network(self) -> CropNetwork:
        """Backbone, neck and head as one module."""
        return CropNetwork(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters with unit prototypes; the state holds statistics and empty queues."""
        self._check(batch)
        crops = by_size(batch['views'])
        variables = self.network.init(rng, crops, train=False)
        state = {'batch_stats': variables.get('batch_stats', {})}
        if self.queue_length:
            images = len(crops[0])
            queues, batches = len(self.head.crops_for_assign), self._batches(images)
            shape = (queues, batches, images, self.head.feat_dim)
            dtype = jnp.promote_types(crops[0].dtype, jnp.float32)
            state |= {
                'feature_queue': jnp.zeros(shape, dtype),
                'queue_ptr': jnp.zeros((), jnp.int32),
                'queue_used': jnp.array(False),
            }
        return with_unit_prototypes(variables['params']), state

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The swapped prediction of the codes of some views by all others (equations 1 to 6)."""
        self._check(batch)
        params, prototypes = self._prototypes(params, batch['step'])
        crops = by_size(batch['views'])
        projections, stats = forward(
            self.network, params, state['batch_stats'], crops, method='encode'
        )
        scores, _ = forward(self.network, params, stats, projections, method='predict')
        seen = jax.lax.stop_gradient((projections, scores))
        codes, queues = self._assign(state, batch['step'], prototypes, *seen)
        loss = swapped_prediction(scores, codes, self.head.crops_for_assign, self.head.temperature)
        state = {**state, **queues, 'batch_stats': stats}
        return loss, (state, code_metrics(codes, state))

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """Puts the prototypes back on the sphere."""
        del step
        return with_unit_prototypes(params), state

    def _prototypes(self, params: Params, step: jax.Array) -> tuple[Params, jax.Array]:
        """The parameters as this step uses them, and the prototypes (D, K) without gradient.

        The prototypes are of unit length already where they come from this class; weights from
        elsewhere may not be. Their gradient does not pass through that division.
        """
        kernel = params['head'][PROTOTYPES]['kernel']
        unit = jax.lax.stop_gradient(l2_normalize(kernel, axis=0))
        moving = kernel + jax.lax.stop_gradient(unit - kernel)
        return with_prototypes(params, jnp.where(step < self.freeze_prototypes, unit, moving)), unit

    def _assign(
        self,
        state: State,
        step: jax.Array,
        prototypes: jax.Array,
        projections: jax.Array,
        scores: jax.Array,
    ) -> tuple[list[jax.Array], State]:
        """Codes (B, K) of each assigned view, and what changes in the queues.

        Each epoch uses no queue until the last row of one is found to be written; from then on all
        are used.
        """
        views = self.head.crops_for_assign
        if not self.queue_length:
            return [self._codes(scores[:, view]) for view in views], {}
        queues, pointer = state['feature_queue'], state['queue_ptr']
        epoch = self.known_run.steps_per_epoch
        used = state['queue_used'] & (step % epoch != 0)
        full = feature_queue.is_full(queues, pointer)
        # All queues at once: a product of one of them would copy it.
        stored = jnp.matmul(queues, prototypes, precision=PRECISION)
        codes = []
        for queue, view in enumerate(views):
            used |= full[queue]
            codes.append(
                jax.lax.cond(
                    used,
                    lambda now, stored, queue=queue: self._codes(now, stored[queue]),
                    lambda now, _: self._codes(now),
                    *(scores[:, view], stored),
                )
            )
        features = jnp.stack([projections[:, view] for view in views])
        filling = step >= self.queue_start_epoch * epoch
        queues, pointer = feature_queue.push(queues, pointer, features, filling)
        return codes, {'feature_queue': queues, 'queue_ptr': pointer, 'queue_used': used}

    def _codes(self, scores: jax.Array, stored: jax.Array | None = None) -> jax.Array:
        """Codes (B, K) of scores (B, K), balanced with those of a queue (batches, B, K)."""
        head, (images, prototypes) = self.head, scores.shape
        batches = scores[None]
        if stored is not None:
            batches = jnp.concatenate([stored, batches])
        group = head.sinkhorn_group_size or images
        # A group's images with what its places held before. Images come first: a batch that is
        # split over devices stays so, and those of a group lie together.
        rows = batches.swapaxes(0, 1)
        codes = sinkhorn(
            rows.reshape(-1, prototypes),
            epsilon=head.epsilon,
            iterations=head.sinkhorn_iterations,
            group_size=len(batches) * group,
        )
        return codes.reshape(rows.shape)[:, -1]

    def _batches(self, images: int) -> int:
        """The queue's length in whole batches."""
        if self.queue_length < images:
            raise JsslError(
                f'config.model.queue_length={self.queue_length} is less than the batch of '
                f'{images}; set it to a multiple of {images}, or to 0 for no queue.'
            )
        return self.queue_length // images

    def _check(self, batch: Batch) -> None:
        """Refuses views that the head does not expect, and groups that do not fill the batch."""
        count, images = len(batch['views']), len(batch['views'][0])
        group, crops = self.head.sinkhorn_group_size, tuple(self.head.num_crops)
        if count != sum(crops) or count < 2:
            raise JsslError(
                f'SwAV got {count} views of each image, but config.model.head.num_crops={crops} '
                f'makes {sum(crops)} and at least two are needed; set it to the copies of '
                'config.views.'
            )
        if group and images % group:
            raise JsslError(
                f'config.model.head.sinkhorn_group_size={group} does not divide the batch of '
                f'{images}; choose a divisor, or None to balance the whole batch.'
            )

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """The queue, and the steps in which prototypes do not move."""
        hook = hooks.get('SwAVHook')
        if hook is None:
            return {}
        head = model.get('head') or {}
        views = list(head.get('crops_for_assign', (0, 1)))
        hook.ignore('batch_size', 'interval', 'requires_grad')
        hook.only('crops_for_assign', views, 'it is a field of the head')
        hook.only('feat_dim', head.get('feat_dim'), 'it is a field of the head')
        return {
            'queue_length': hook.take('queue_length', 0),
            'queue_start_epoch': hook.take('epoch_queue_starts', 15),
            'freeze_prototypes': hook.section('frozen_layers_cfg').take('prototypes', 0),
        }


def with_prototypes(params: Params, kernel: jax.Array) -> Params:
    """The parameters with other prototypes (D, K)."""
    head = {**params['head'], PROTOTYPES: {'kernel': kernel}}
    return {**params, 'head': head}


def with_unit_prototypes(params: Params) -> Params:
    """The parameters with each prototype divided by its norm."""
    kernel = params['head'][PROTOTYPES]['kernel']
    return with_prototypes(params, l2_normalize(kernel, axis=0).astype(kernel.dtype))


def code_metrics(codes: Sequence[jax.Array], state: State) -> Metrics:
    """How many prototypes the codes of a batch use, and the state of the queue.

    Returns:
      `prototypes_used`, the perplexity of the mean code: K where all are used alike, 1 where one
      takes everything; with a queue `queue_fill`, the share of rows written, and `queue_used`.
    """
    mean = jnp.mean(jnp.stack(codes), axis=(0, 1))
    metrics = {'prototypes_used': jnp.exp(jax.scipy.special.entr(mean).sum())}
    if 'feature_queue' in state:
        metrics['queue_fill'] = feature_queue.fill(state['feature_queue'])
        metrics['queue_used'] = state['queue_used'].astype(jnp.float32)
    return metrics
