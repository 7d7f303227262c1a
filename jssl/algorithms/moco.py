"""MoCo v1 and v2: find a teacher's key of the other view among a queue of earlier keys.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning",
CVPR 2020, arXiv 1911.05722. Chen, Fan, Girshick, He, "Improved Baselines with Momentum Contrastive
Learning", arXiv 2003.04297, changes the neck, the views and the schedule.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import Count, Fraction
from jssl.errors import JsslError
from jssl.heads import ContrastiveHead
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import l2_normalize
from jssl.layers.shuffle import draw_shuffle, has_grouped_norm, shuffled, unshuffle
from jssl.losses import contrast_accuracy, info_nce, queue_similarities
from jssl.memories.queue import enqueue, init_queue, queue_health
from jssl.memories.teacher import Teacher, init_teacher, update_teacher
from jssl.networks import Encoder, forward
from jssl.reference import Reference, complemented, pair_elsewhere, teacher_keys


@dataclasses.dataclass(frozen=True)
class MoCo(Algorithm):
    """MoCo; `batch['views']` holds two arrays (B, H, W, C), of queries and of keys.

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the temperature and the loss's weight.
      queue_len: keys in the queue, a multiple of the batch.
      feat_dim: D.
      momentum: share of the teacher that stays at an update.

    Raises:
      JsslError: if the momentum is not in [0, 1].
    """

    backbone: Backbone
    neck: Neck
    head: ContrastiveHead
    queue_len: Count = 65536
    feat_dim: Count = 128
    momentum: Fraction = 0.999

    reference: ClassVar[Reference] = Reference(
        keys={**teacher_keys('encoder_k'), 'queue': 'queue', 'queue_ptr': 'queue_ptr'},
        elsewhere=pair_elsewhere('encoder_q', 'encoder_k'),
        releases=complemented('momentum'),
    )

    @property
    def encoder(self) -> Encoder:
        """Backbone and neck as one module."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state adds their `teacher` and the queue.

        Raises:
          JsslError: if the neck's projections are not `feat_dim` wide.
        """
        network_key, queue_key = jax.random.split(rng)
        outputs, variables = self.encoder.init_with_output(
            network_key, batch['views'][0], train=False
        )
        width = jax.tree.leaves(outputs)[-1].shape[-1]
        if width != self.feat_dim:
            raise JsslError(
                f'config.model.feat_dim={self.feat_dim}, but '
                f'config.model.neck.out_channels={width}; give both the same value.'
            )
        params, stats = variables['params'], variables.get('batch_stats', {})
        return params, {
            'batch_stats': stats,
            'teacher': init_teacher(params, stats),
            'queue': init_queue(queue_key, self.queue_len, width),
            'queue_ptr': jnp.zeros((), jnp.int32),
        }

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds `shuffle`, an order of the batch, where it decides on batch statistics."""
        modules = self.backbone, self.neck
        if not has_grouped_norm(*modules):
            return batch
        return {**batch, 'shuffle': draw_shuffle(rng, len(batch['views'][1]), *modules)}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """InfoNCE against the queue as it was before this step (equation 1 of MoCo)."""
        view, key_view = two_views(batch, type(self).__name__)
        query, stats = forward(self.encoder, params, state['batch_stats'], view)
        teacher = update_teacher(state['teacher'], params, stats, self.momentum)
        key, teacher = self.encode_keys(teacher, key_view, batch)
        query, key = l2_normalize(query), l2_normalize(key)
        loss = info_nce(query, key, state['queue'], self.head.temperature)
        queue, pointer = enqueue(state['queue'], state['queue_ptr'], key)
        after = {'batch_stats': stats, 'teacher': teacher, 'queue': queue, 'queue_ptr': pointer}
        found = contrast_accuracy(*queue_similarities(query, key, state['queue']))
        metrics = {'accuracy': found, **queue_health(queue, teacher['steps'] * len(key))}
        return self.head.loss_weight * loss, ({**state, **after}, metrics)

    def encode_keys(self, teacher: Teacher, images: jax.Array, batch: Batch) -> tuple[Any, Teacher]:
        """The teacher's outputs for `images` and its state after that; no gradient reaches them.

        With `shuffle` in the batch the images pass in that order, and their outputs come back in
        the order of the batch.
        """
        shuffle = batch.get('shuffle')
        images = images if shuffle is None else shuffled(images, shuffle)
        slow = teacher['params'], teacher['batch_stats']
        outputs, stats = forward(self.encoder, *slow, images)
        outputs = outputs if shuffle is None else unshuffle(outputs, shuffle)
        return outputs, {**teacher, 'batch_stats': stats}
