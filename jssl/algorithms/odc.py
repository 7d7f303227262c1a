"""ODC: clusters that move with every batch, where DeepCluster stops to make them anew.

Zhan, Xie, Liu, Ong, Loy, "Online Deep Clustering for Unsupervised Representation Learning", CVPR
2020, arXiv 2006.10645.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, one_view
from jssl.algorithms.clustered import check_classes, cluster_health, fresh_head, read_clusters
from jssl.checks import Natural
from jssl.heads import ClsHead
from jssl.kinds import Backbone
from jssl.layers.normalize import l2_normalize
from jssl.losses import weighted_cross_entropy
from jssl.memories import ODCMemory
from jssl.memories.kmeans import cluster
from jssl.memories.odc import (
    Memory,
    class_weights,
    merge_small_clusters,
    update_centroids,
    update_samples,
)
from jssl.necks import ODCNeck
from jssl.necks.pretext import draw_keep
from jssl.networks import evaluate, forward
from jssl.reference import Hooks, Reference, with_edges

NEVER = 100_000  # epochs between two clusterings, by which the reference says once


class ClusterNetwork(nn.Module):
    """Backbone, neck and classifier as one module."""

    backbone: nn.Module
    neck: nn.Module
    head: nn.Module

    def __call__(
        self, images: jax.Array, keep: jax.Array | None = None, train: bool = True
    ) -> tuple[jax.Array, jax.Array]:
        """Images (B, H, W, C) -> projections (B, D) and logits (B, k)."""
        projections = self.project(images, keep, train)
        return projections, self.head(projections, train=train)

    def project(
        self, images: jax.Array, keep: jax.Array | None = None, train: bool = True
    ) -> jax.Array:
        """Images (B, H, W, C) -> projections (B, D)."""
        return self.neck(self.backbone(images, train=train), keep, train=train)


@dataclasses.dataclass(frozen=True)
class ODC(Algorithm):
    """Online deep clustering; `batch['views']` holds one array (B, H, W, C).

    The memory is `state['memory']`: `bank` (N, D), `labels` (N,) and `centroids` (k, D). It is
    filled by `refresh` before the first epoch.

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D), with a dropout mask.
      head: projections -> logits of the clusters.
      memory_bank: the settings of the memory.
      centroid_interval: optimizer steps between two updates of the centroids; 0 for never.
      small_cluster_interval: steps between two searches for small clusters; 0 for never.
      reweight: whether the weights of the clusters in the loss follow their sizes at every step.
      normalize_weights: whether the loss is divided by the mean weight of the batch. Without, as in
        the reference, weights that sum to 1 make it about k times smaller than a cross entropy.

    Raises:
      JsslError: head and memory have different numbers of clusters, or the run has too few images
        for them.
    """

    predicts = 'targets'

    backbone: Backbone
    neck: ODCNeck
    head: ClsHead
    memory_bank: ODCMemory
    centroid_interval: Natural = 10
    small_cluster_interval: Natural = 1
    reweight: bool = True
    normalize_weights: bool = False

    reference: ClassVar[Reference] = Reference(
        keys={'memory.centroids': 'memory_bank.centroids', 'loss_weight': 'loss_weight'},
        releases={'0.x': with_edges},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_classes(self.head, self.memory_bank.num_classes)
        if self.run is not None:
            self.memory_bank.check_samples(self.run.samples)

    @property
    def network(self) -> ClusterNetwork:
        """Backbone, neck and head as one module."""
        return ClusterNetwork(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters; batch statistics, and an empty memory in which all images have label 0."""
        variables = self.network.init(rng, one_view(batch, 'ODC'), train=False)
        clusters = self.memory_bank.num_classes
        return variables['params'], {
            'batch_stats': variables.get('batch_stats', {}),
            'memory': self.memory_bank.init(self.known_run.samples)._asdict(),
            'loss_weight': jnp.full(clusters, 1 / clusters),
        }

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds `target`, int (B,), the clusters of the images, and which hidden units stay.

        The latter is `dropout_keep`, bool (B, hid_channels), the neck's mask.
        """
        shape = (len(batch['index']), self.neck.hid_channels)
        target = state['memory']['labels'][batch['index']]
        return {**batch, 'target': target, 'dropout_keep': draw_keep(rng, shape)}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Cross entropy with the labels from before this batch, whose rows and labels then move.

        In the first step all clusters weigh 1, as in the reference.
        """
        images, target = one_view(batch, 'ODC'), batch['target']
        stats, keep = state['batch_stats'], batch.get('dropout_keep')
        (projections, logits), stats = forward(self.network, params, stats, images, keep)
        weights = jnp.where(batch['step'] == 0, 1, state['loss_weight'])
        loss = weighted_cross_entropy(logits, target, weights, normalize=self.normalize_weights)
        memory, changed = update_samples(
            Memory(**state['memory']), batch['index'], projections, self.memory_bank.momentum
        )
        metrics = {
            'accuracy': jnp.mean(logits.argmax(axis=1) == target),
            'change_ratio': changed,
            **cluster_health(memory.labels, self.head.num_classes),
        }
        return loss, ({**state, 'batch_stats': stats, 'memory': memory._asdict()}, metrics)

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """Every so many steps the centroids and the small clusters, then the loss weights."""
        done, memory = step + 1, Memory(**state['memory'])
        if self.centroid_interval:
            due = done % self.centroid_interval == 0
            memory = jax.lax.cond(due, update_centroids, lambda memory: memory, memory)
        if self.small_cluster_interval:
            memory = jax.lax.cond(
                done % self.small_cluster_interval == 0,
                lambda memory: merge_small_clusters(memory, self.memory_bank.min_cluster),
                lambda memory: memory,
                memory,
            )
        return params, self._remembering(state, memory)

    def _remembering(self, state: State, memory: Memory) -> State:
        """The state with that memory, and with the weights of its clusters where these follow."""
        state = {**state, 'memory': memory._asdict()}
        if not self.reweight:
            return state
        weights = class_weights(memory.labels, self.head.num_classes)
        return {**state, 'loss_weight': weights.astype(state['loss_weight'].dtype)}

    def cluster_labels(self, state: State) -> jax.Array:
        """The labels of the memory."""
        return state['memory']['labels']

    def refreshes(self, epoch: int) -> bool:
        """Before the first epoch."""
        return epoch == 0

    def refresh_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        """Projections (B, D) in eval mode: what the memory holds."""
        stats = state['batch_stats']
        return evaluate(self.network, params, stats, images, method='project')

    def refresh(
        self, params: Params, state: State, features: jax.Array, rng: jax.Array
    ) -> tuple[Params, State]:
        """Fills the memory with projections (N, D) and their k-means clusters; a fresh head."""
        cluster_key, head_key = jax.random.split(rng)
        found = cluster(features, self.head.num_classes, cluster_key)
        bank = l2_normalize(features).astype(state['memory']['bank'].dtype)
        memory = update_centroids(Memory(bank, found.labels, found.centroids.astype(bank.dtype)))
        return fresh_head(params, self.head, head_key), self._remembering(state, memory)

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """Logits (B, k) of the clusters."""
        images = one_view(batch, 'ODC')
        return evaluate(self.network, params, state['batch_stats'], images)[1]

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """How often the memory moves: never, without the hook that moves it."""
        if first := hooks.get('DeepClusterHook'):
            clusters = read_clusters(first, model)
            why = 'its memory is clustered once, by the projections themselves'
            if clusters.pca_dim is not None:
                raise first.refusal('clustering.pca_dim', clusters.pca_dim, -1, why)
            if clusters.uniform:
                raise first.refusal('unif_sampling', True, False, 'its clusters always change')
            if clusters.interval < NEVER:
                raise first.refusal('interval', clusters.interval, 9_999_999_999, why)
            first.only('init_memory', True, 'its memory starts with the first clusters', False)
        hook = hooks.get('ODCHook')
        if hook is None:
            return {'centroid_interval': 0, 'small_cluster_interval': 0, 'reweight': False}
        # The last two the reference does not read either.
        hook.ignore('evaluate_interval', 'reweight', 'reweight_pow')
        return {
            'centroid_interval': hook.take('centroids_update_interval', 10),
            'small_cluster_interval': hook.take('deal_with_small_clusters_interval', 1),
        }
