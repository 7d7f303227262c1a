"""Steps whose numbers are not finite, left out inside the compiled step."""

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jssl.algorithm import Batch, Metrics, TrainState

MOST = 50  # steps left out, in a row or most of those taken, after which a run ends


class Counted(NamedTuple):
    """The state of an optimizer, with the steps that were left out.

    Attributes:
      skipped: int32 scalar, how many.
      in_a_row: int32 scalar, of these since the last one that was taken.
      inner: the optimizer's own state.
    """

    skipped: jax.Array
    in_a_row: jax.Array
    inner: Any


def counting(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """The same optimizer, in whose state `skipping` counts."""
    inner = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> Any:
        return Counted(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        found, after = inner.update(updates, state.inner, params, **extra)
        return found, state._replace(inner=after)

    return optax.GradientTransformationExtraArgs(init, update)


def skipping(
    step: Callable[..., tuple[TrainState, Metrics]],
) -> Callable[..., tuple[TrainState, Metrics]]:
    """A train step that changes nothing but its number where something is not finite.

    That is its loss, its gradient, or anything that it would leave behind. The metrics have
    `skipped` and `skipped_in_a_row` besides, the counts after it.

    Args:
      step: of `plain_train_step`, with an optimizer of `counting`.
    """

    def careful(
        before: TrainState, batch: Batch, data: Batch | None = None
    ) -> tuple[TrainState, Metrics]:
        after, metrics = step(before, batch, data)
        left = after.params, after.state, after.opt_state.inner
        fine = all_finite((metrics['loss'], metrics['grad_norm'], left))
        kept = before.params, before.state, before.opt_state.inner
        params, state, inner = jax.tree.map(lambda new, old: jnp.where(fine, new, old), left, kept)
        counts = before.opt_state
        opt_state = Counted(
            counts.skipped + jnp.where(fine, 0, 1),
            jnp.where(fine, 0, counts.in_a_row + 1),
            inner,
        )
        told = {'skipped': opt_state.skipped, 'skipped_in_a_row': opt_state.in_a_row}
        after = dataclasses.replace(after, params=params, state=state, opt_state=opt_state)
        return after, {**metrics, **told}

    return careful


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a tree is finite; whole numbers are."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


def too_many(metrics: Mapping[str, float], step: int, *, last: bool) -> str:
    """Why a run is not worth going on with, by the steps that were left out; empty if it is.

    Those are `MOST` in a row, or more than half of all steps: in the end, and before it once they
    are `MOST`.

    Args:
      metrics: of a step of `skipping`; those of another have no such count.
      step: how many were taken or left out.
      last: whether it is the last.

    Examples:
      >>> too_many({'skipped': 6, 'skipped_in_a_row': 0}, 8, last=True)
      '6 of 8 steps were left out'
    """
    skipped = int(metrics.get('skipped', 0))
    if metrics.get('skipped_in_a_row', 0) >= MOST:
        return f'The last {MOST} steps or more were left out by step {step}'
    if 2 * skipped > step and (last or skipped >= MOST):
        return f'{skipped} of {step} steps were left out'
    return ''


def left_out_by(rows: Sequence[Mapping[str, Any]], skipped: float) -> int | None:
    """The first step of `rows` that counts so many steps left out: the last of them, or one soon
    after it; None without such a row."""
    return next((row['step'] for row in rows if row.get('skipped') == skipped), None)


def replay_command(directory: Path, step: int, saved: Sequence[int]) -> str:
    """What repeats a step of the run in `directory`, whose checkpoints are those `saved`.

    Examples:
      >>> replay_command(Path('runs/first'), 6, [4, 8])
      'jssl replay runs/first --step=6'
    """
    begin = '' if any(number < step for number in saved) else ' --from_start'
    return f'jssl replay {shlex.quote(str(directory))} --step={step}{begin}'
