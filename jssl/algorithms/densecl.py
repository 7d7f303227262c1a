"""DenseCL: MoCo for images and, at the same time, for the matching cells of their maps.

Wang, Zhang, Shen, Kong, Li, "Dense Contrastive Learning for Self-Supervised Visual Pre-Training",
CVPR 2021, arXiv 2011.09157.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State, two_views
from jssl.algorithms.moco import MoCo, similarities, watch
from jssl.checks import Fraction, Natural
from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize
from jssl.losses import cross_entropy
from jssl.memories.ema import update_teacher
from jssl.memories.queue import enqueue, init_queue
from jssl.networks import Encoder, evaluate, forward


class DenseEncoder(Encoder):
    """A backbone and a `DenseCLNeck` as one module that also gives the backbone's map."""

    def __call__(self, images: jax.Array, train: bool = True, **options: Any) -> Any:
        """Images (B, H, W, C) -> cells of the map (B, S * S, c), and the neck's three outputs."""
        features = self.backbone(images, train=train, **options)
        image, cells, pooled = self.neck(features, train=train)
        matched = features[-1].reshape(len(images), -1, features[-1].shape[-1])
        if matched.shape[1] != cells.shape[1]:
            raise JsslError(
                f'The neck projects {cells.shape[1]} cells of an image, but the backbone gives '
                f'{matched.shape[1]}, by whose features they are matched; set '
                'config.model.neck.num_grid=None.'
            )
        return matched, image, cells, pooled


@dataclasses.dataclass(frozen=True)
class DenseCL(MoCo):
    """DenseCL; `batch['views']` holds two arrays (B, H, W, C), of queries and of keys.

    Attributes:
      backbone, neck, head, queue_len, feat_dim, momentum: see `MoCo`; the neck is a `DenseCLNeck`.
      loss_lambda: weight of the dense loss, and 1 minus that of the other.
      start_iters: steps before which the dense loss has no weight.

    Raises:
      JsslError: if the weight is not in [0, 1].
    """

    predicts = 'features'

    loss_lambda: Fraction = 0.5
    start_iters: Natural = 0

    @property
    def encoder(self) -> DenseEncoder:
        """Backbone and neck as one module that gives maps too."""
        return DenseEncoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """As MoCo's, with a second queue of pooled cells."""
        rng, queue_key = jax.random.split(rng)
        params, state = super().init(rng, batch)
        queue = init_queue(queue_key, self.queue_len, self.feat_dim)
        return params, {**state, 'queue2': queue, 'queue2_ptr': jnp.zeros((), jnp.int32)}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 3: the loss of images and that of cells, both against the queues as they were.

        Cells are matched by the backbone's features; a cell's positive is the key cell most like it
        (equation 4).
        """
        view, key_view = two_views(batch, 'DenseCL')
        query, stats = forward(self.encoder, params, state['batch_stats'], view)
        slow = update_teacher(state['teacher'], params, stats, self.momentum)
        key, teacher = self.encode_keys(slow, key_view, batch)
        query, key = ([l2_normalize(output) for output in outputs] for outputs in (query, key))
        image, cells, metrics = self._contrast(query, key, state)
        share = jnp.where(batch['step'] < self.start_iters, 0.0, self.loss_lambda)
        single, dense = (1 - share) * image, share * cells
        after, health = self._enqueue(state, teacher, key)
        after |= {'batch_stats': stats, 'teacher': teacher}
        metrics = {**metrics, **health, 'loss_single': single, 'loss_dense': dense}
        return single + dense, ({**state, **after}, metrics)

    def _contrast(self, query: Any, key: Any, state: State) -> tuple[jax.Array, jax.Array, Metrics]:
        """The two losses without their weights, all inputs l2-normalised."""
        positive = jnp.sum(query[1] * key[1], axis=1, keepdims=True)
        logits = self.head(positive, similarities(query[1], state['queue']))
        image = cross_entropy(logits, jnp.zeros(len(logits), jnp.int32))
        matches = match_cells(query[0], key[0])
        matched = jnp.take_along_axis(key[2], matches[:, :, None], axis=1)
        cells = self.dense_loss(query[2], matched, state['queue2'])
        return self.head.loss_weight * image, self.head.loss_weight * cells, watch(logits)

    def dense_loss(self, query: jax.Array, positive: jax.Array, queue: jax.Array) -> jax.Array:
        """Cross entropy of every cell's positive against the queue, mean over cells and images.

        One cell of all images at a time, whose logits the backward pass computes again: those of
        all cells would be S * S times as large (3.3 GB for a batch of 256).

        Args:
          query: unit rows (B, S * S, D).
          positive: unit rows (B, S * S, D).
          queue: unit rows (K, D).
        """

        @jax.checkpoint
        def of_one_cell(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
            similar = jnp.sum(pair[0] * pair[1], axis=1, keepdims=True)
            logits = self.head(similar, similarities(pair[0], queue))
            return cross_entropy(logits, jnp.zeros(len(logits), jnp.int32))

        pairs = (query.swapaxes(0, 1), positive.swapaxes(0, 1))
        return jax.lax.map(of_one_cell, pairs).mean()

    def _enqueue(self, state: State, teacher: State, key: Any) -> tuple[dict[str, Any], Metrics]:
        """Both queues with the keys of images and the pooled keys of cells."""
        queue, pointer = enqueue(state['queue'], state['queue_ptr'], key[1])
        queue2, pointer2 = enqueue(state['queue2'], state['queue2_ptr'], key[3])
        after = {'queue': queue, 'queue_ptr': pointer, 'queue2': queue2, 'queue2_ptr': pointer2}
        norm = self.watch_queue(teacher, queue2, key[3])['queue_norm']
        return after, {**self.watch_queue(teacher, queue, key[1]), 'queue2_norm': norm}

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """Unit features (B, h, w, C) of every cell of the first view."""
        images, stats = batch['views'][0], state['batch_stats'].get('backbone', {})
        features = evaluate(self.backbone, params['backbone'], stats, images)
        return l2_normalize(features[-1])


def match_cells(query: jax.Array, key: jax.Array) -> jax.Array:
    """For every query cell the key cell that is most similar; of equals the first.

    Args:
      query: unit rows (B, S * S, c).
      key: unit rows (B, S * S, c).

    Returns:
      int (B, S * S); no gradient flows through it.
    """
    similarity = jnp.einsum('bsc,btc->bst', query, key, precision=jax.lax.Precision.HIGHEST)
    return similarity.argmax(axis=2)
