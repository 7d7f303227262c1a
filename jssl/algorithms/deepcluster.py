"""DeepCluster: cluster the features of all images, learn to predict the clusters, and again.

Caron, Bojanowski, Joulin, Douze, "Deep Clustering for Unsupervised Learning of Visual Features",
ECCV 2018, arXiv 1807.05520.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, one_view
from jssl.algorithms.clustered import cluster_health, fresh_head, read_clusters
from jssl.checks import Count
from jssl.heads import ClsHead
from jssl.kinds import Backbone, Neck
from jssl.losses import weighted_cross_entropy
from jssl.memories.kmeans import cluster
from jssl.memories.odc import class_weights
from jssl.networks import Network, evaluate, forward
from jssl.reference import Hooks, Reference, with_edges


@dataclasses.dataclass(frozen=True)
class DeepCluster(Algorithm):
    """DeepCluster; `batch['views']` holds one array (B, H, W, C).

    The clusters are `state['labels']` (N,), made by `refresh` from the features of all images. The
    sampler `ClassBalanced` draws from them equally often.

    Attributes:
      backbone: images -> features; `ResNetSobel` to hide the colours, as in the paper.
      neck: features -> vectors (B, D).
      head: vectors -> logits of the clusters; it has as many classes as there are clusters.
      pca_dim: principal components of the features that are clustered; None takes them as they are.
      refresh_every: epochs between two clusterings.
      reweight: whether the weights of the clusters in the loss follow their sizes; for samplers
        that do not draw from all clusters equally often.
      normalize_weights: whether the loss is divided by the mean weight of the batch. Without, as in
        the reference, weights that sum to 1 make it about k times smaller than a cross entropy.

    Raises:
      JsslError: `refresh_every` is not positive.
    """

    predicts = 'targets'

    backbone: Backbone
    neck: Neck
    head: ClsHead
    pca_dim: Count | None = 256
    refresh_every: Count = 1
    reweight: bool = False
    normalize_weights: bool = False

    reference: ClassVar[Reference] = Reference(
        keys={'loss_weight': 'loss_weight'}, releases={'0.x': with_edges}
    )

    @property
    def network(self) -> Network:
        """Backbone, neck and head as one module."""
        return Network(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters; batch statistics, label 0 for all images, and equal weights."""
        variables = self.network.init(rng, one_view(batch, 'DeepCluster'), train=False)
        samples, clusters = self.known_run.samples, self.head.num_classes
        return variables['params'], {
            'batch_stats': variables.get('batch_stats', {}),
            'labels': jnp.zeros(samples, jnp.int32),
            'loss_weight': jnp.full(clusters, 1 / clusters),
        }

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds `target`, int (B,), the clusters of the images."""
        del rng
        return {**batch, 'target': state['labels'][batch['index']]}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Cross entropy of the clusters (equation 1)."""
        images, target = one_view(batch, 'DeepCluster'), batch['target']
        logits, stats = forward(self.network, params, state['batch_stats'], images)
        loss = weighted_cross_entropy(
            logits, target, state['loss_weight'], normalize=self.normalize_weights
        )
        metrics = {
            'accuracy': jnp.mean(logits.argmax(axis=1) == target),
            **cluster_health(state['labels'], self.head.num_classes),
        }
        return loss, ({**state, 'batch_stats': stats}, metrics)

    def refreshes(self, epoch: int) -> bool:
        """Before every `refresh_every`-th epoch, the first one included."""
        return epoch % self.refresh_every == 0

    def sampler_labels(self, state: State) -> jax.Array:
        """The clusters."""
        return state['labels']

    def cluster_labels(self, state: State) -> jax.Array:
        """The clusters."""
        return state['labels']

    def refresh(
        self, params: Params, state: State, features: jax.Array, rng: jax.Array
    ) -> tuple[Params, State]:
        """Clusters features (N, D): PCA with whitening, unit length, k-means; a fresh head."""
        cluster_key, head_key = jax.random.split(rng)
        clusters = self.head.num_classes
        labels = cluster(features, clusters, cluster_key, self.pca_dim).labels
        weights = state['loss_weight']
        if self.reweight:
            weights = class_weights(labels, clusters).astype(weights.dtype)
        state = {**state, 'labels': labels, 'loss_weight': weights}
        return fresh_head(params, self.head, head_key), state

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """Logits (B, k) of the clusters."""
        images = one_view(batch, 'DeepCluster')
        return evaluate(self.network, params, state['batch_stats'], images)

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Mapping[str, Any]) -> dict[str, Any]:
        """How, and how often, the features of all images are clustered."""
        hook = hooks.get('DeepClusterHook')
        if hook is None:
            return {}
        clusters = read_clusters(hook, model)
        hook.only('init_memory', False, 'it has no memory')
        if clusters.uniform:
            classes = model['head']['num_classes']
            hook.elsewhere['sampler'] = {'type': 'ClassBalanced', 'num_classes': classes}
        return {
            'pca_dim': clusters.pca_dim,
            'refresh_every': clusters.interval,
            'reweight': clusters.reweight,
        }
