"""Momentum networks: a slow copy of the encoder, whose outputs are targets or keys.

The copy is a dict of `params`, `batch_stats` and `steps`, the number of its updates. It is updated
inside the loss, after the online passes of the step and before its own, with the parameters that
the previous optimizer step left. The first update is a plain copy. Its batch statistics are
overwritten by the online network's at every update; as it runs in training mode, they never enter a
loss.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

Tree = Mapping[str, Any]

PARTS = ('backbone', 'neck')


def init_teacher(params: Tree, stats: Tree) -> dict[str, Any]:
    """A copy of backbone and neck that shares no memory with them.

    Args:
      params: of the online network; parts other than backbone and neck are left out.
      stats: its batch statistics.
    """
    copied = jax.tree.map(jnp.copy, {'params': _parts(params), 'batch_stats': _parts(stats)})
    return {**copied, 'steps': jnp.zeros((), jnp.int32)}


def update_teacher(
    teacher: Tree, params: Tree, stats: Tree, momentum: float | jax.Array
) -> dict[str, Any]:
    """The copy after one update: ``teacher + (1 - momentum) (online - teacher)``, without gradient.

    Args:
      teacher: the copy.
      params: of the online network.
      stats: its batch statistics, with the passes of this step in them.
      momentum: the share of the copy that stays; without effect on the first update.
    """
    first, rate = teacher['steps'] == 0, 1 - momentum

    def average(old: jax.Array, new: jax.Array) -> jax.Array:
        moved = old + jnp.asarray(rate, old.dtype) * (new - old)
        return jax.lax.stop_gradient(jnp.where(first, new, moved))

    return {
        'params': jax.tree.map(average, teacher['params'], _parts(params)),
        'batch_stats': jax.lax.stop_gradient(_parts(stats)),
        'steps': teacher['steps'] + 1,
    }


def cosine_momentum(updates: jax.Array, total: int, *, base: float, end: float = 1.0) -> jax.Array:
    """Half a cosine from `base` to `end` (Grill et al. 2020, section 3.3).

    ``end - (end - base) (1 + cos(pi k / K)) / 2``

    Args:
      updates: k, how many there have been; int, any shape. From K on the momentum is `end`.
      total: K, how many the run has.
      base: the momentum at k = 0.
      end: the momentum at k = K.
    """
    share = jnp.minimum(jnp.asarray(updates, float) / total, 1)
    return end - (end - base) * (1 + jnp.cos(jnp.pi * share)) / 2


def _parts(tree: Any) -> dict[str, Any]:
    return {part: tree[part] for part in PARTS if part in tree}
