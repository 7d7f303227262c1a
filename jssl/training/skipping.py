"""Steps whose numbers are not finite, left out inside the compiled step."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jssl.algorithm import Batch, Metrics, TrainState

MOST = 50  # steps left out in a row, after which a run ends


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
