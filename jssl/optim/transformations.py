"""What optimizers are made of: small optax transformations that treat every parameter by its group.

Those that optax has are taken from there; these differ from its own in the groups, or in a detail
of the reference that their docstrings name.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jssl.optim.parameter_groups import ParameterGroup, name_of
from jssl.optim.schedules import Schedule

Groups = Callable[[Any], Any]  # params (or a tree like them) -> tree of ParameterGroup
Rate = Callable[[float], Schedule]  # base rate -> schedule
Change = Callable[..., Any]  # (updates, params, groups, step) -> updates


class MomentumState(NamedTuple):
    """The steps taken, and v of `accumulate_momentum` for every parameter."""

    step: jax.Array
    trace: Any


def clip_gradients(max_norm: float) -> optax.GradientTransformation:
    """Multiplies all gradients by min(1, max_norm / (norm + 1e-6)), norm being their joint L2 norm.

    optax's own clipping has no 1e-6; PyTorch's and so the reference's has.
    """

    def clip(updates: Any, params: Any) -> Any:
        del params
        factor = jnp.minimum(1.0, max_norm / (optax.tree.norm(updates) + 1e-6))
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), updates)

    return optax.stateless(clip)


def decay_weights(decay: Schedule, groups: Groups) -> optax.GradientTransformation:
    """g -> g + decay w, the decay being `decay(step)` times the group's `decay_mult`."""

    def change(updates: Any, params: Any, members: Any, step: jax.Array) -> Any:
        now = decay(step)
        return jax.tree.map(
            lambda g, w, group: g + jnp.asarray(now * group.decay_mult, g.dtype) * w,
            updates,
            params,
            members,
        )

    return _by_step(change, groups)


def adapt_layers(
    decay: Schedule, eta: float, eps: float, groups: Groups
) -> optax.GradientTransformation:
    """g -> local (g + decay w) with local = eta |w| / (|g| + decay |w| + eps), for each tensor.

    `local` is 1 for a group with `lars_exclude`, and where w or g is all 0.
    """

    def adapt(g: jax.Array, w: jax.Array, group: ParameterGroup, now: jax.Array) -> jax.Array:
        decay = jnp.asarray(now * group.decay_mult, g.dtype)
        if group.lars_exclude:
            return g + decay * w
        g_norm, w_norm = jnp.linalg.norm(g.ravel()), jnp.linalg.norm(w.ravel())
        local = jnp.where(
            (w_norm > 0) & (g_norm > 0), eta * w_norm / (g_norm + decay * w_norm + eps), 1.0
        )
        return local * (g + decay * w)

    def change(updates: Any, params: Any, members: Any, step: jax.Array) -> Any:
        return jax.tree.map(functools.partial(adapt, now=decay(step)), updates, params, members)

    return _by_step(change, groups)


def scale_by_rate(rate: Rate, lr: float, groups: Groups) -> optax.GradientTransformation:
    """g -> lr(step) g, the schedule starting from `lr` times the group's `lr_mult`.

    A group with `fix_lr` keeps `lr` times its `lr_mult` for ever.
    """

    def change(updates: Any, params: Any, members: Any, step: jax.Array) -> Any:
        del params
        scheduled = functools.cache(lambda base: rate(base)(step))

        def scale(g: jax.Array, group: ParameterGroup) -> jax.Array:
            base = lr * group.lr_mult
            return g * jnp.asarray(base if group.fix_lr else scheduled(base), g.dtype)

        return jax.tree.map(scale, updates, members)

    return _by_step(change, groups)


def accumulate_momentum(
    momentum: float, groups: Groups, *, nesterov: bool = False, dampening: float = 0.0
) -> optax.GradientTransformation:
    """g -> v <- momentum v + (1 - dampening) g, and g + momentum v with `nesterov`.

    A group's own momentum replaces `momentum`. As in PyTorch v starts as the first g, undampened.
    """

    def kept(group: ParameterGroup) -> float:
        return momentum if group.momentum is None else group.momentum

    def init(params: Any) -> MomentumState:
        return MomentumState(jnp.zeros([], jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: MomentumState, params: Any = None) -> Any:
        del params
        members = groups(updates)
        share = jnp.where(state.step == 0, 1.0, 1.0 - dampening)

        def accumulate(g: jax.Array, v: jax.Array, group: ParameterGroup) -> jax.Array:
            return kept(group) * v + share.astype(g.dtype) * g if kept(group) else g

        trace = jax.tree.map(accumulate, updates, state.trace, members)
        after = MomentumState(optax.safe_increment(state.step), trace)
        if not nesterov:
            return trace, after
        ahead = jax.tree.map(lambda g, v, group: g + kept(group) * v, updates, trace, members)
        return ahead, after

    return optax.GradientTransformation(init, update)


def descend(groups: Groups) -> optax.GradientTransformation:
    """g -> -g, and 0 for a frozen parameter, which weight decay must not move either."""

    def change(updates: Any, params: Any) -> Any:
        del params
        return jax.tree.map(
            lambda g, group: jnp.zeros_like(g) if group.frozen else -g, updates, groups(updates)
        )

    return optax.stateless(change)


def keep_frozen(is_frozen: Callable[[str], bool]) -> optax.GradientTransformation:
    """0 for a frozen parameter, at the end of a transformation that knows nothing of them.

    Args:
      is_frozen: name of a parameter -> whether it stays as it is.
    """

    def change(updates: Any, params: Any) -> Any:
        del params
        return jax.tree.map_with_path(
            lambda path, g: jnp.zeros_like(g) if is_frozen(name_of(path)) else g, updates
        )

    return optax.stateless(change)


def _by_step(change: Change, groups: Groups) -> optax.GradientTransformation:
    """A transformation whose only state is the number of steps taken."""

    def init(params: Any) -> optax.ScaleByScheduleState:
        groups(params)  # a key that matches nothing fails before anything is compiled
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(updates: Any, state: optax.ScaleByScheduleState, params: Any = None) -> Any:
        changed = change(updates, params, groups(updates), state.count)
        return changed, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)
