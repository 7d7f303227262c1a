"""A teacher: a slow copy of parts of a network, whose outputs are targets or keys.

The copy is a dict of `params`, `batch_stats` and `steps`, the number of its updates. Which parts it
copies (backbone, neck, head) is said once, to `init_teacher`. There are two places to update it:

- inside the loss, between the student's passes and its own, with the parameters that the optimizer
  left a step ago. The first update is then a plain copy, as in MMSelfSup.
- in `after_step`, with those that the optimizer leaves now, as in DINO; ``copy_first=False``.

A teacher that runs in training mode never reads its batch statistics, and one that runs in
evaluation mode does; `buffers` says where they come from.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jssl.errors import JsslError

Tree = Mapping[str, Any]
Teacher = dict[str, Any]
Buffers = Literal['copied', 'averaged', 'own']


def init_teacher(
    params: Tree, stats: Tree | None = None, parts: Sequence[str] = ('backbone', 'neck')
) -> Teacher:
    """A copy of some parts of a network that shares no memory with them.

    Args:
      params: of the student, by part; parts that are not copied are left out.
      stats: its batch statistics, by part; None where it has none.
      parts: which are copied; one that has no parameters is left out too.

    Raises:
      JsslError: if none of the parts is among the parameters.

    Examples:
      >>> import jax.numpy as jnp
      >>> student = {'backbone': {'w': jnp.ones(2)}, 'head': {'b': jnp.ones(1)}}
      >>> teacher = init_teacher(student, parts=('backbone',))
      >>> list(teacher['params']), int(teacher['steps'])
      (['backbone'], 0)
    """
    if not set(parts) & params.keys():
        raise JsslError(
            f'A teacher of {", ".join(parts)} has nothing to copy: the parameters are those of '
            f'{", ".join(params)}; give some of these as parts.'
        )
    copied = {'params': _only(params, parts), 'batch_stats': _only(stats or {}, parts)}
    return {**jax.tree.map(jnp.copy, copied), 'steps': jnp.zeros((), jnp.int32)}


def update_teacher(
    teacher: Tree,
    params: Tree,
    stats: Tree,
    momentum: float | jax.Array,
    *,
    buffers: Buffers = 'copied',
    copy_first: bool = True,
) -> Teacher:
    """The teacher after one update: ``teacher + (1 - momentum) (student - teacher)``.

    No gradient flows through it. With a momentum of 0 it is the student, exactly.

    Args:
      teacher: as it was.
      params: of the student; what the teacher does not have is ignored, by name.
      stats: the student's batch statistics.
      momentum: the share of the teacher that stays, a number or a scalar.
      buffers: where the teacher's batch statistics come from: 'copied' from the student's,
        'averaged' with them like the parameters, or its 'own', which its passes leave.
      copy_first: whether the first update is a plain copy, whatever the momentum.

    Examples:
      >>> import jax.numpy as jnp
      >>> teacher = init_teacher({'backbone': jnp.zeros(2)})
      >>> student = {'backbone': jnp.ones(2)}
      >>> print(update_teacher(teacher, student, {}, 0.75, copy_first=False)['params']['backbone'])
      [0.25 0.25]
      >>> print(update_teacher(teacher, student, {}, 0.75)['params']['backbone'])
      [1. 1.]
    """
    copies = jnp.asarray(momentum) == 0
    if copy_first:
        copies |= teacher['steps'] == 0

    def average(old: jax.Array, new: jax.Array) -> jax.Array:
        moved = old + jnp.asarray(1 - momentum, old.dtype) * (new - old)
        return jax.lax.stop_gradient(jnp.where(copies, new, moved))

    after = teacher['batch_stats']
    if buffers != 'own':
        after = jax.lax.stop_gradient(_only(stats, after))
    if buffers == 'averaged':
        after = jax.tree.map(average, teacher['batch_stats'], after)
    weights = paired(params, teacher['params'])
    return {
        'params': jax.tree.map(average, teacher['params'], weights),
        'batch_stats': after,
        'steps': teacher['steps'] + 1,
    }


def cosine_momentum(
    step: int | jax.Array, total: int, *, base: float, end: float = 1.0
) -> jax.Array:
    """Half a cosine from `base` to `end` (Grill et al. 2020, section 3.3).

    ``end - (end - base) (1 + cos(pi k / K)) / 2``

    Args:
      step: k, the number of the step or of the updates so far; int, any shape. From K on the
        momentum is `end`.
      total: K.
      base: the momentum at k = 0.
      end: the momentum at k = K.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(cosine_momentum(jnp.array([0, 50, 100, 200]), 100, base=0.5))
      [0.5  0.75 1.   1.  ]
    """
    share = jnp.minimum(jnp.asarray(step, float) / total, 1)
    return end - (end - base) * (1 + jnp.cos(jnp.pi * share)) / 2


def linear_momentum(
    step: int | jax.Array, total: int, *, base: float, end: float = 1.0
) -> jax.Array:
    """A line from `base` to `end` (Assran et al. 2023, appendix A; Baevski et al. 2022, section 4).

    ``base + (end - base) k / K``

    Args:
      step, total, base, end: as of `cosine_momentum`.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(linear_momentum(jnp.array([0, 25, 100, 200]), 100, base=0.5))
      [0.5   0.625 1.    1.   ]
    """
    share = jnp.minimum(jnp.asarray(step, float) / total, 1)
    return base + (end - base) * share


def warmup_temperature(
    step: int | jax.Array, warmup: int, *, first: float, last: float
) -> jax.Array:
    """A teacher's temperature on a line from `first` to `last` (Caron et al. 2021, appendix C).

    ``first + (last - first) min(k / (W - 1), 1)``, a scalar or an array like `step`.

    Args:
      step: k, the number of the epoch or of the step; int, any shape.
      warmup: W, how many of them the line takes, both ends included; 0 for `last` from the start.
      first: the temperature at k = 0.
      last: that from k = W - 1 on.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(warmup_temperature(jnp.arange(5), 4, first=0.04, last=0.07).round(3))
      [0.04 0.05 0.06 0.07 0.07]
    """
    start = first if warmup else last
    return linear_momentum(step, max(warmup - 1, 1), base=start, end=last)


def paired(tree: Tree, like: Tree) -> dict[str, Any]:
    """What of a tree has its name in another one too.

    Examples:
      >>> student = {'backbone': {'w': 1, 'mask_token': 2}, 'head': {'b': 3}}
      >>> paired(student, {'backbone': {'w': None}})
      {'backbone': {'w': 1}}
    """
    return {
        name: paired(tree[name], value) if isinstance(value, Mapping) else tree[name]
        for name, value in like.items()
    }


def _only(tree: Tree, parts: Any) -> dict[str, Any]:
    """The parts of a tree that are wanted and there."""
    return {part: tree[part] for part in parts if part in tree}
