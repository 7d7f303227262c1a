"""DenseCL: MoCo for images and, at the same time, for the matching cells of their maps.

Wang, Zhang, Shen, Kong, Li, "Dense Contrastive Learning for Self-Supervised Visual Pre-Training",
CVPR 2021, arXiv 2011.09157.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State, two_views
from jssl.algorithms.moco import MoCo
from jssl.checks import Fraction, Natural
from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import PRECISION
from jssl.losses import contrast_accuracy, dense_contrast, info_nce, queue_similarities
from jssl.memories.queue import enqueue, init_queue, queue_health
from jssl.memories.teacher import update_teacher
from jssl.networks import Encoder, evaluate, forward
from jssl.reference import Hooks, Reference


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

    reference: ClassVar[Reference] = Reference(
        keys={**MoCo.reference.keys, 'queue2': 'queue2', 'queue2_ptr': 'queue2_ptr'},
        elsewhere=MoCo.reference.elsewhere,
        releases=MoCo.reference.releases,
    )

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
        teacher = update_teacher(state['teacher'], params, stats, self.momentum)
        key, teacher = self.encode_keys(teacher, key_view, batch)
        map_q, image_q, cells_q, _ = (l2_normalize(output) for output in query)
        map_k, image_k, cells_k, pooled_k = (l2_normalize(output) for output in key)
        matches = match_cells(map_q, map_k)
        positives = jnp.take_along_axis(cells_k, matches[:, :, None], axis=1)
        temperature, weight = self.head.temperature, self.head.loss_weight
        share = jnp.where(batch['step'] < self.start_iters, 0.0, self.loss_lambda)
        image = info_nce(image_q, image_k, state['queue'], temperature)
        dense = dense_contrast(cells_q, positives, state['queue2'], temperature)
        image, dense = (1 - share) * weight * image, share * weight * dense
        queue, pointer = enqueue(state['queue'], state['queue_ptr'], image_k)
        queue2, pointer2 = enqueue(state['queue2'], state['queue2_ptr'], pooled_k)
        after = {'queue': queue, 'queue_ptr': pointer, 'queue2': queue2, 'queue2_ptr': pointer2}
        written = teacher['steps'] * len(image_k)
        metrics = {
            'accuracy': contrast_accuracy(*queue_similarities(image_q, image_k, state['queue'])),
            'loss_single': image,
            'loss_dense': dense,
            **queue_health(queue, written),
            'queue2_norm': queue_health(queue2, written)['queue_norm'],
        }
        state = {**state, **after, 'batch_stats': stats, 'teacher': teacher}
        return image + dense, (state, metrics)

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """Unit features (B, h, w, C) of every cell of the first view."""
        images, stats = batch['views'][0], state['batch_stats'].get('backbone', {})
        features = evaluate(self.backbone, params['backbone'], stats, images)
        return l2_normalize(features[-1])

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """The steps that the dense loss waits."""
        hook = hooks.get('DenseCLHook')
        return {} if hook is None else {'start_iters': hook.take('start_iters', 1000)}


def match_cells(query: jax.Array, key: jax.Array) -> jax.Array:
    """For every query cell the key cell that is most similar; of equals the first.

    Args:
      query: unit rows (B, S * S, c).
      key: unit rows (B, S * S, c).

    Returns:
      int (B, S * S); no gradient flows through it.
    """
    similarity = jnp.einsum('bsc,btc->bst', query, key, precision=PRECISION)
    return similarity.argmax(axis=2)
