"""What optimizers are made of: small optax transformations that treat every parameter by its group.

Those that optax has are taken from there; these differ from its own in the groups, or in a detail
of the reference that their docstrings name. Each is a transformation by itself:

Examples:
  >>> from jssl.optim import parameter_groups
  >>> groups = functools.partial(parameter_groups, custom_keys={'last': {'frozen_epochs': 1.0}})
  >>> chain = optax.chain(clip_gradients(3.0, 'tensor'), skip_at_first(groups), optax.sgd(0.5))
  >>> params = {'first': jnp.ones(2), 'last': jnp.ones(2)}
  >>> updates, state = chain.update(params, chain.init(params), params)  # a step is an epoch here
  >>> print(updates['first'], updates['last'])
  [-0.5 -0.5] [-0. -0.]
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jssl.optim.parameter_groups import ParameterGroup, name_of
from jssl.optim.schedules import Schedule

Groups = Callable[[Any], Any]  # params (or a tree like them) -> tree of ParameterGroup
Rate = Callable[[float], Schedule]  # base rate -> schedule
Change = Callable[..., Any]  # (updates, params, groups, step) -> updates
ClipBy = Literal['all', 'part', 'tensor']


class MomentumState(NamedTuple):
    """The steps taken, and v of `accumulate_momentum` for every parameter."""

    step: jax.Array
    trace: Any


def clip_gradients(max_norm: float, by: ClipBy = 'all') -> optax.GradientTransformation:
    """Multiplies gradients by min(1, max_norm / (norm + 1e-6)).

    optax's own clipping has no 1e-6; PyTorch's and so the reference's has.

    Args:
      max_norm: bound of the L2 norm.
      by: what has a norm of its own: 'all' together; each 'part' that the tree of parameters has at
        its top, such as backbone and head (DINOv2); or each 'tensor' (DINO, iBOT).

    Examples:
      >>> updates = {'a': jnp.array([3.0]), 'b': jnp.array([4.0, 0.0])}
      >>> print(clip_gradients(2.0).update(updates, optax.EmptyState())[0]['a'].round(3))
      [1.2]
      >>> print(clip_gradients(2.0, 'tensor').update(updates, optax.EmptyState())[0]['a'].round(3))
      [2.]
    """

    def together(updates: Any) -> Any:
        factor = jnp.minimum(1.0, max_norm / (optax.tree.norm(updates) + 1e-6))
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), updates)

    def clip(updates: Any, params: Any) -> Any:
        del params
        if by == 'part':
            return {name: together(part) for name, part in updates.items()}
        return together(updates) if by == 'all' else jax.tree.map(together, updates)

    return optax.stateless(clip)


def skip_at_first(groups: Groups) -> optax.GradientTransformation:
    """g -> 0 in the first `frozen_steps` of a parameter's group, at the end, decay or not.

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> groups = functools.partial(parameter_groups, custom_keys={'w': {'frozen_epochs': 1.0}})
      >>> skip, g = skip_at_first(groups), {'w': jnp.ones(1)}
      >>> first, state = skip.update(g, skip.init(g), g)
      >>> print(first['w'], skip.update(g, state, g)[0]['w'])
      [0.] [1.]
    """

    def change(updates: Any, params: Any, members: Any, step: jax.Array) -> Any:
        del params
        return jax.tree.map(functools.partial(_hold, step), updates, members)

    return _by_step(change, groups)


def scale_by_moments(
    betas: tuple[float, float], eps: float, groups: Groups
) -> optax.GradientTransformation:
    """Adam's direction (Kingma and Ba 2015, algorithm 1), the steps counted for each parameter.

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, g -> m' / (sqrt(v') + eps), where m' is
    m / (1 - b1^t) and v' is v / (1 - b2^t). optax's own counts t from the start of the run for all;
    here it starts after the `frozen_steps` of the group.

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> groups = functools.partial(parameter_groups, custom_keys={})
      >>> adam = scale_by_moments((0.9, 0.999), 1e-8, groups)
      >>> g = {'w': jnp.array([4.0, -0.5])}
      >>> print(adam.update(g, adam.init(g))[0]['w'].round(3))
      [ 1. -1.]
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        mu, nu = jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(jnp.zeros([], jnp.int32), mu, nu)

    def update(updates: Any, state: optax.ScaleByAdamState, params: Any = None) -> Any:
        del params
        count, members = optax.safe_increment(state.count), groups(updates)
        updates = jax.tree.map(functools.partial(_hold, state.count), updates, members)
        mu = optax.tree.update_moment(updates, state.mu, betas[0], 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, betas[1], 2)

        def direction(m: jax.Array, v: jax.Array, group: ParameterGroup) -> jax.Array:
            taken = jnp.maximum(count - group.frozen_steps, 1)
            first, second = ((1 - beta**taken).astype(m.dtype) for beta in betas)
            return m / first / (jnp.sqrt(v / second) + eps)

        found = jax.tree.map(direction, mu, nu, members)
        return found, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


def decay_weights(decay: Schedule, groups: Groups) -> optax.GradientTransformation:
    """g -> g + decay w, the decay being `decay(step)` times the group's `decay_mult`.

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> groups = functools.partial(parameter_groups, custom_keys={}, vectors={'decay_mult': 0.0})
      >>> decayed = decay_weights(lambda step: 0.5, groups)
      >>> params = {'bias': jnp.ones(1), 'kernel': jnp.ones((1, 1))}
      >>> zeros = {'bias': jnp.zeros(1), 'kernel': jnp.zeros((1, 1))}
      >>> found, _ = decayed.update(zeros, decayed.init(params), params)
      >>> print(found['bias'], found['kernel'])
      [0.] [[0.5]]
    """

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

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> groups = functools.partial(parameter_groups, custom_keys={})
      >>> lars = adapt_layers(lambda step: 0.0, 0.1, 0.0, groups)
      >>> w, g = {'w': jnp.array([3.0, 4.0])}, {'w': jnp.array([0.0, 2.0])}
      >>> print(lars.update(g, lars.init(w), w)[0]['w'])  # of length 0.1 * 5
      [0.  0.5]
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


def scale_by_trust(eta: float, groups: Groups) -> optax.GradientTransformation:
    """g -> g eta |w| / |g| for each tensor, after the decay; as it is where w or g is all 0.

    A group with `lars_exclude` keeps g.

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> lars = scale_by_trust(0.1, functools.partial(parameter_groups, custom_keys={}))
      >>> w, g = {'w': jnp.array([3.0, 4.0])}, {'w': jnp.array([0.0, 2.0])}
      >>> print(lars.update(g, lars.init(w), w)[0]['w'])
      [0.  0.5]
    """

    def change(updates: Any, params: Any) -> Any:
        def scale(g: jax.Array, w: jax.Array, group: ParameterGroup) -> jax.Array:
            if group.lars_exclude:
                return g
            g_norm, w_norm = jnp.linalg.norm(g.ravel()), jnp.linalg.norm(w.ravel())
            moves = (w_norm > 0) & (g_norm > 0)
            return g * jnp.where(moves, eta * w_norm / jnp.where(moves, g_norm, 1.0), 1.0)

        return jax.tree.map(scale, updates, params, groups(updates))

    return optax.stateless(change)


def scale_by_rate(rate: Rate, lr: float, groups: Groups) -> optax.GradientTransformation:
    """g -> lr(step) g, the schedule starting from `lr` times the group's `lr_mult`.

    A group with `fix_lr` keeps `lr` times its `lr_mult` for ever; in the first `zero_lr_steps` of a
    group its rate is 0.

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> keys = {'last': {'zero_lr_epochs': 1.0}, 'patch': {'lr_mult': 0.2}}
      >>> groups = functools.partial(parameter_groups, custom_keys=keys)
      >>> rated = scale_by_rate(lambda base: lambda step: base, 0.5, groups)
      >>> g = {'last': jnp.ones(1), 'patch': jnp.ones(1), 'rest': jnp.ones(1)}
      >>> found, state = rated.update(g, rated.init(g), g)
      >>> print(found['last'], found['patch'], found['rest'], rated.update(g, state, g)[0]['last'])
      [0.] [0.1] [0.5] [0.5]
    """

    def change(updates: Any, params: Any, members: Any, step: jax.Array) -> Any:
        del params
        scheduled = functools.cache(lambda base: rate(base)(step))

        def scale(g: jax.Array, group: ParameterGroup) -> jax.Array:
            base = lr * group.lr_mult
            now = base if group.fix_lr else scheduled(base)
            if group.zero_lr_steps:
                now = jnp.where(step < group.zero_lr_steps, 0.0, now)
            return g * jnp.asarray(now, g.dtype)

        return jax.tree.map(scale, updates, members)

    return _by_step(change, groups)


def accumulate_momentum(
    momentum: float, groups: Groups, *, nesterov: bool = False, dampening: float = 0.0
) -> optax.GradientTransformation:
    """g -> v <- momentum v + (1 - dampening) g, and g + momentum v with `nesterov`.

    A group's own momentum replaces `momentum`. As in PyTorch v starts as the first g, undampened.

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> kept = accumulate_momentum(0.9, functools.partial(parameter_groups, custom_keys={}))
      >>> g = {'w': jnp.ones(1)}
      >>> first, state = kept.update(g, kept.init(g))
      >>> print(first['w'], kept.update(g, state)[0]['w'])
      [1.] [1.9]
    """

    def kept(group: ParameterGroup) -> float:
        return momentum if group.momentum is None else group.momentum

    def init(params: Any) -> MomentumState:
        return MomentumState(jnp.zeros([], jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: MomentumState, params: Any = None) -> Any:
        del params
        members = groups(updates)
        updates = jax.tree.map(functools.partial(_hold, state.step), updates, members)

        def accumulate(g: jax.Array, v: jax.Array, group: ParameterGroup) -> jax.Array:
            share = jnp.where(state.step <= group.frozen_steps, 1.0, 1.0 - dampening)
            return kept(group) * v + share.astype(g.dtype) * g if kept(group) else g

        trace = jax.tree.map(accumulate, updates, state.trace, members)
        after = MomentumState(optax.safe_increment(state.step), trace)
        if not nesterov:
            return trace, after
        ahead = jax.tree.map(lambda g, v, group: g + kept(group) * v, updates, trace, members)
        return ahead, after

    return optax.GradientTransformation(init, update)


def descend(groups: Groups) -> optax.GradientTransformation:
    """g -> -g, and 0 for a frozen parameter, which weight decay must not move either.

    Examples:
      >>> from jssl.optim import parameter_groups
      >>> frozen = functools.partial(parameter_groups, custom_keys={}, is_frozen='a'.__eq__)
      >>> g = {'a': jnp.ones(1), 'b': jnp.ones(1)}
      >>> down = descend(frozen).update(g, optax.EmptyState(), g)[0]
      >>> print(down['a'], down['b'])
      [0.] [-1.]
    """

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

    Examples:
      >>> g = {'a': jnp.ones(1), 'b': jnp.ones(1)}
      >>> kept = keep_frozen('a'.__eq__).update(g, optax.EmptyState())[0]
      >>> print(kept['a'], kept['b'])
      [0.] [1.]
    """

    def change(updates: Any, params: Any) -> Any:
        del params
        return jax.tree.map_with_path(
            lambda path, g: jnp.zeros_like(g) if is_frozen(name_of(path)) else g, updates
        )

    return optax.stateless(change)


def _hold(step: jax.Array, g: jax.Array, group: ParameterGroup) -> jax.Array:
    """g, or 0 while the optimizer skips the parameter: moments that start at 0 stay there."""
    return jnp.where(step < group.frozen_steps, 0, g) if group.frozen_steps else g


def _by_step(change: Change, groups: Groups) -> optax.GradientTransformation:
    """A transformation whose only state is the number of steps taken."""

    def init(params: Any) -> optax.ScaleByScheduleState:
        groups(params)  # a key that matches nothing fails before anything is compiled
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(updates: Any, state: optax.ScaleByScheduleState, params: Any = None) -> Any:
        changed = change(updates, params, groups(updates), state.count)
        return changed, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)
