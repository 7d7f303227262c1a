"""What DeepCluster and ODC have in common: labels that are clusters, and a classifier of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Metrics, Params
from jssl.errors import JsslError
from jssl.heads import ClsHead
from jssl.memories.odc import cluster_sizes
from jssl.reference import Hook

POWER = 0.5  # of the weights by which small clusters count more


def fresh_head(params: Params, head: nn.Module, rng: jax.Array) -> dict[str, Any]:
    """`params` with a classifier drawn anew: after a clustering its old classes mean nothing."""
    weights = params['head']['fc_cls']['kernel']
    return {**params, 'head': head.init(rng, jnp.zeros((1, len(weights))))['params']}


def cluster_health(labels: jax.Array, count: int) -> Metrics:
    """Scalars worth watching: the size of the smallest and largest cluster, and how many are empty.

    Args:
      labels: int (N,), of all images.
      count: how many clusters there are.
    """
    sizes = cluster_sizes(labels, count)
    return {
        'cluster_min': sizes.min(),
        'cluster_max': sizes.max(),
        'cluster_empty': (sizes == 0).sum(),
    }


def check_classes(head: ClsHead, clusters: int) -> None:
    """Refuses a head with another number of classes than there are clusters."""
    if head.num_classes != clusters:
        raise JsslError(
            f'config.model.head.num_classes={head.num_classes}, but '
            f'config.model.memory_bank.num_classes={clusters}; each cluster is a class, so set '
            'both to the same number.'
        )


class Clusters(NamedTuple):
    """What the reference's `DeepClusterHook` says of the clusters.

    Attributes:
      pca_dim: principal components that are clustered; None for the features as they are.
      interval: epochs between two clusterings.
      uniform: whether images are drawn from all clusters equally often.
      reweight: whether the weights of the clusters in the loss follow their sizes.
    """

    pca_dim: int | None
    interval: int
    uniform: bool
    reweight: bool


def read_clusters(hook: Hook, model: Mapping[str, Any]) -> Clusters:
    """The fields of a `DeepClusterHook`, but for `init_memory`.

    Args:
      hook: the hook.
      model: of the algorithm; its head has a class for each cluster.

    Raises:
      JsslError: names a field whose value has no counterpart.
    """
    hook.ignore('extract_dataloader', 'extractor', 'data_loaders')
    hook.only('initial', True, 'the first epoch needs clusters')
    section, classes = hook.section('clustering'), model.get('head', {}).get('num_classes')
    section.only('type', 'Kmeans', 'it has k-means')
    section.only('k', classes, 'the head has one class each')
    pca_dim = section.count('pca_dim', 256)
    power, reweight = hook.take('reweight_pow', POWER), bool(hook.take('reweight', False))
    if reweight and power != POWER:
        raise hook.refusal('reweight', True, False, f'the power of its weights is {POWER} here')
    uniform = bool(hook.take('unif_sampling', False))
    interval = hook.count('interval', 1)
    return Clusters(pca_dim if pca_dim > 0 else None, interval, uniform, reweight)
