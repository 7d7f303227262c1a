"""What DeepCluster and ODC have in common: labels that are clusters, and a classifier of them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Metrics, Params
from jssl.errors import JsslError
from jssl.heads import ClsHead
from jssl.memories.odc import cluster_sizes


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
