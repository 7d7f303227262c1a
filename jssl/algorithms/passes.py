"""What the algorithms with a pair of views have in common: passes of a network, and a watch on it.

Every view goes through a network by itself, one after the other, so that batch norm sees each with
statistics of its own.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Params, State, forward
from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize


def one_view(batch: Batch, algorithm: str) -> jax.Array:
    """The only view of a batch, (B, H, W, C).

    Raises:
      JsslError: if there are more; the message names `algorithm`.
    """
    if len(batch['views']) != 1:
        raise JsslError(
            f'{algorithm} needs one view of each image and got {len(batch["views"])}; set '
            'config.views to a policy of one, such as MultiView with copies=1.'
        )
    return batch['views'][0]


def two_views(batch: Batch, algorithm: str) -> tuple[jax.Array, jax.Array]:
    """The two views of a batch, each (B, H, W, C).

    Raises:
      JsslError: if there are fewer or more; the message names `algorithm`.
    """
    if len(batch['views']) != 2:
        raise JsslError(
            f'{algorithm} needs two views of each image and got {len(batch["views"])}; set '
            'config.views to a policy of two, such as MultiView with copies=2, or Pair.'
        )
    first, second = batch['views']
    return first, second


def one_by_one(
    module: nn.Module,
    params: Params,
    stats: State,
    inputs: Sequence[Any],
    *,
    method: str = '__call__',
) -> tuple[list[Any], State]:
    """A pass in training mode for each of `inputs`, in that order: outputs, batch statistics."""
    outputs = []
    for one in inputs:
        output, stats = forward(module, params, stats, one, method=method)
        outputs.append(output)
    return outputs, stats


def in_eval_mode(
    module: nn.Module, params: Params, stats: State, *inputs: Any, method: str = '__call__'
) -> Any:
    """The outputs of a pass with the running statistics, which changes nothing."""
    variables = {'params': params, 'batch_stats': stats}
    return module.apply(variables, *inputs, method=method, train=False)


def spread(projections: jax.Array) -> jax.Array:
    """How far l2-normalised projections (B, D) differ from image to image.

    Their standard deviation per dimension, averaged, times sqrt(D): about 1 where they cover the
    sphere evenly, 0 where all are equal (Chen and He 2021, section 4.1).
    """
    unit = l2_normalize(projections)
    return unit.std(axis=0).mean() * jnp.sqrt(unit.shape[1])
