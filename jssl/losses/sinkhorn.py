"""Sinkhorn-Knopp: codes that use all prototypes alike, the targets of SwAV.

Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013, arXiv
1306.0895. Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual
Features by Contrasting Cluster Assignments", NeurIPS 2020, arXiv 2006.09882.
"""

import math

import jax
import jax.numpy as jnp
from jax.nn import logsumexp

from jssl.layers.widen import widen

UNDERFLOW = math.log(5e-324)  # below it an exponential is 0 in float64
UNROLLED = 4  # iterations that are compiled one by one; a loop has less to compile, and is slower


def sinkhorn(
    scores: jax.Array,
    epsilon: float | jax.Array = 0.05,
    iterations: int = 3,
    group_size: int | None = None,
    present: jax.Array | None = None,
) -> jax.Array:
    """Codes near the scores that use all prototypes alike (section 3.1 of SwAV).

    ``exp(scores / epsilon)`` is scaled in turn so that each prototype gets 1/K of all samples and
    each sample sums to 1. In logarithms nothing overflows or vanishes, however small epsilon is.
    One thing the reference's arithmetic does is kept: where all of a prototype's entries are 0 in
    float64, 1e-12 is added to every entry of the matrix, whose sum is 1.

    Args:
      scores: (n, K).
      epsilon: the smaller, the harder the codes.
      iterations: how often both are scaled, at least once.
      group_size: samples of a group in which the prototypes are used alike, a divisor of n; None
        balances all, as in the paper. The reference balances the samples of each device.
      present: bool (n,), False for rows that only fill a list up, such as that of masked patches:
        they are left out of every sum, and there need not be any other. None where all are
        samples.

    Returns:
      (n, K), rows sum to 1, those of no sample are 0; without gradient, in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import sinkhorn
      >>> scores = jnp.array([[1.0, 0.8], [1.0, 0.2]])  # both prefer the first prototype
      >>> print(sinkhorn(scores).argmax(axis=1))  # and one gets the other
      [1 0]
    """
    scores = jax.lax.stop_gradient(widen(scores))
    if present is not None:
        scores = jnp.where(present[:, None], scores, -jnp.inf)
    groups = scores.reshape(-1, group_size or len(scores), scores.shape[1])
    # Subtracted first, as large numbers would lose digits.
    logs = (groups - _finite(groups.max())) / epsilon
    empty = (logs.max(axis=1) < UNDERFLOW).any()
    rescued = jnp.logaddexp(logs - logsumexp(logs), math.log(1e-12))
    logs = jnp.where(empty & (groups > -jnp.inf), rescued, logs)
    # The reference sums an empty prototype over all devices, in the first iteration alone.
    total = logsumexp(logs, axis=(0, 1), keepdims=True)
    logs = _scaled(logs, jnp.where(empty, total, logsumexp(logs, axis=1, keepdims=True)))
    logs = jax.lax.fori_loop(
        1,
        iterations,
        lambda _, logs: _scaled(logs, logsumexp(logs, axis=1, keepdims=True)),
        logs,
        unroll=iterations <= UNROLLED,
    )
    return jnp.exp(logs).reshape(scores.shape)


def _scaled(logs: jax.Array, sums: jax.Array) -> jax.Array:
    """One iteration: prototypes are divided by `sums`, then samples by theirs."""
    logs = logs - _finite(sums)
    return logs - _finite(logsumexp(logs, axis=2, keepdims=True))


def _finite(logs: jax.Array) -> jax.Array:
    """Logarithms with 0 for those of nothing: of a row of no sample, or where there is none."""
    return jnp.where(logs == -jnp.inf, 0, logs)
