"""MoCo with its loss in both directions: each view is a query once and a key once.

The variant of MoCo v2 that repositories call v2+ or symmetric; no paper of its own. A step costs
two passes of either network, and the queue takes the keys of both views.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State, two_views
from jssl.algorithms.moco import MoCo
from jssl.layers.normalize import l2_normalize
from jssl.losses import contrast_accuracy, info_nce, queue_similarities
from jssl.memories.queue import enqueue, queue_health
from jssl.memories.teacher import update_teacher
from jssl.networks import each


@dataclasses.dataclass(frozen=True)
class SymmetricMoCo(MoCo):
    """Symmetric MoCo; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone, neck, head, feat_dim, momentum: as of `MoCo`.
      queue_len: keys in the queue, a multiple of twice the batch.
    """

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The mean of both directions, against the queue as it was before this step."""
        views = two_views(batch, 'SymmetricMoCo')
        queries, stats = each(self.encoder, params, state['batch_stats'], views)
        teacher = update_teacher(state['teacher'], params, stats, self.momentum)
        keys = []
        for view in views:
            key, teacher = self.encode_keys(teacher, view, batch)
            keys.append(l2_normalize(key))
        query, key = l2_normalize(jnp.concatenate(queries)), jnp.concatenate(keys[::-1])
        loss = info_nce(query, key, state['queue'], self.head.temperature)
        queue, pointer = enqueue(state['queue'], state['queue_ptr'], jnp.concatenate(keys))
        after = {'batch_stats': stats, 'teacher': teacher, 'queue': queue, 'queue_ptr': pointer}
        found = contrast_accuracy(*queue_similarities(query, key, state['queue']))
        metrics = {'accuracy': found, **queue_health(queue, teacher['steps'] * len(key))}
        return self.head.loss_weight * loss, ({**state, **after}, metrics)
