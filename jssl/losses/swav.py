"""Swapped prediction: the code of one view from the scores of the others, and how codes are made.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS
2020, arXiv 2006.09882.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.nn import logsumexp

UNDERFLOW = math.log(5e-324)  # below it an exponential is 0 in float64


def sinkhorn(
    scores: jax.Array, epsilon: float = 0.05, iterations: int = 3, group_size: int | None = None
) -> jax.Array:
    """Codes near the scores that use all prototypes alike (section 3.1; Cuturi 2013).

    ``exp(scores / epsilon)`` is scaled in turn so that each prototype gets 1/K of all samples and
    each sample sums to 1. In logarithms nothing overflows or vanishes, however small epsilon is.
    One thing the reference's arithmetic does is kept: where all of a prototype's entries are 0 in
    float64, 1e-12 is added to every entry of the matrix, whose sum is 1.

    Args:
      scores: (n, K).
      epsilon: the smaller, the harder the codes.
      iterations: how often both are scaled.
      group_size: samples of a group in which the prototypes are used alike, a divisor of n; None
        balances all, as in the paper. The reference balances the samples of each device.

    Returns:
      (n, K), rows sum to 1, without gradient, in at least float32.
    """
    scores = jax.lax.stop_gradient(scores.astype(jnp.promote_types(scores.dtype, jnp.float32)))
    groups = scores.reshape(-1, group_size or len(scores), scores.shape[1])
    logs = (groups - groups.max()) / epsilon  # subtracted first: large numbers would lose digits
    empty = (logs.max(axis=1) < UNDERFLOW).any()
    logs = jnp.where(empty, jnp.logaddexp(logs - logsumexp(logs), math.log(1e-12)), logs)
    for iteration in range(iterations):
        sums = logsumexp(logs, axis=1, keepdims=True)
        if iteration == 0:  # the reference sums a prototype over all devices in this case alone
            sums = jnp.where(empty, logsumexp(logs, axis=(0, 1), keepdims=True), sums)
        logs = logs - sums
        logs = logs - logsumexp(logs, axis=2, keepdims=True)
    return jnp.exp(logs).reshape(scores.shape)


def swapped_prediction(
    scores: jax.Array,
    codes: Sequence[jax.Array],
    views: Sequence[int] = (0, 1),
    temperature: float = 0.1,
) -> jax.Array:
    """How badly all other views predict the codes of some of them (equations 1, 2 and 6).

    Args:
      scores: (n, V, K), cosine similarities of V views to K prototypes.
      codes: (n, K) of each of `views`.
      views: those whose codes are predicted.
      temperature: of the predictions.

    Returns:
      The cross entropy in nats, averaged over samples, the other views and `views`; a scalar
      computed in at least float32.
    """
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    predictions = jax.nn.log_softmax(scores / temperature, axis=-1)
    total = predictions.sum(axis=1)  # of all views; less a view's own, that of the others
    losses = [
        -jnp.mean(jnp.sum(code * (total - predictions[:, view]), axis=-1))
        for view, code in zip(views, codes, strict=True)
    ]
    return jnp.mean(jnp.stack(losses)) / (scores.shape[1] - 1)
