"""SGD, LARS and AdamW as the reference computes them, with parameter groups and a schedule.

An optimizer is a frozen dataclass of settings; `make_optimizer` joins it with a schedule into an
optax transformation. Each optimizer is a sequence of small transformations: those of optax where it
has them, and those below, which treat every parameter by its group.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from jssl.errors import JsslError
from jssl.training.parameter_groups import NO_DECAY_NO_ADAPT as NO_DECAY_NO_ADAPT
from jssl.training.parameter_groups import CustomKeys, check_custom_keys, parameter_groups
from jssl.training.schedules import Schedule, ScheduleFactory, check_range

Groups = Callable[[Any], Any]  # params (or a tree like them) -> tree of ParameterGroup
Rate = Callable[[float], Schedule]  # base rate -> schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(abc.ABC):
    """What every optimizer has; a subclass adds its settings and says what it is made of.

    Attributes:
      lr: base learning rate.
      weight_decay: factor of the decay towards 0.
      clip: bound of the gradient's global L2 norm; None for no bound.
      custom_keys: settings of groups of parameters, see `parameter_groups`.

    Raises:
      JsslError: if a field is out of range or a key has an entry that the optimizer does not know.
    """

    lr: float
    weight_decay: float = 0.0
    clip: float | None = None
    custom_keys: CustomKeys = dataclasses.field(default_factory=dict)

    entries: ClassVar[tuple[str, ...]] = ('lr_mult', 'decay_mult')

    def __post_init__(self) -> None:
        """Refuses numbers out of range and unknown entries of `custom_keys`."""
        check_range('optimizer.lr', self.lr, 0)
        check_range('optimizer.weight_decay', self.weight_decay, 0)
        if self.clip is not None:
            check_range('optimizer.clip', self.clip, 0)
        if self.clip == 0:
            raise JsslError(
                'optimizer.clip is 0, which would stop all training; set it to the largest '
                'gradient norm to let through, or to None for no clipping.'
            )
        check_custom_keys(self.custom_keys, self.entries)

    @abc.abstractmethod
    def transformations(self, groups: Groups, rate: Rate) -> list[optax.GradientTransformation]:
        """The steps from the (clipped) gradient to what is subtracted from the parameters."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent: v <- momentum v + (g + decay w), w <- w - lr v (as PyTorch's).

    Attributes:
      lr, weight_decay, clip, custom_keys: see `Optimizer`; a group may set its `momentum`.
      momentum: the part of v that is kept.
    """

    momentum: float = 0.0

    entries: ClassVar[tuple[str, ...]] = ('lr_mult', 'decay_mult', 'momentum')

    def __post_init__(self) -> None:
        """Refuses a momentum outside [0, 1)."""
        super().__post_init__()
        check_range('optimizer.momentum', self.momentum, 0, 1)

    def transformations(self, groups: Groups, rate: Rate) -> list[optax.GradientTransformation]:
        """Decay, momentum, learning rate."""
        return [
            decay_weights(self.weight_decay, groups),
            accumulate_momentum(self.momentum, groups),
            scale_by_rate(rate, self.lr, groups),
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LARS(Optimizer):
    """Layer-wise adaptive rates (You et al. 2017, algorithm 1), as the reference computes them.

    v <- momentum v + local lr (g + decay w), w <- w - v, with local from `adapt_layers`. The rate
    is inside v: when it changes, what v holds already is not rescaled.

    Attributes:
      lr, weight_decay, clip, custom_keys: see `Optimizer`; a group may set its `momentum` and
        `lars_exclude`.
      momentum: the part of v that is kept.
      eta: trust coefficient of the local rate.
      eps: added to the local rate's denominator.
    """

    momentum: float = 0.0
    eta: float = 0.001
    eps: float = 1e-8

    entries: ClassVar[tuple[str, ...]] = ('lr_mult', 'decay_mult', 'momentum', 'lars_exclude')

    def __post_init__(self) -> None:
        """Refuses a momentum outside [0, 1) and negative coefficients."""
        super().__post_init__()
        check_range('optimizer.momentum', self.momentum, 0, 1)
        check_range('optimizer.eta', self.eta, 0)
        check_range('optimizer.eps', self.eps, 0)

    def transformations(self, groups: Groups, rate: Rate) -> list[optax.GradientTransformation]:
        """Decay and adaptation, learning rate, momentum."""
        return [
            adapt_layers(self.weight_decay, self.eta, self.eps, groups),
            scale_by_rate(rate, self.lr, groups),
            accumulate_momentum(self.momentum, groups),
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), as PyTorch's.

    Attributes:
      lr, weight_decay, clip, custom_keys: see `Optimizer`; the decay is multiplied by the rate.
      betas: what is kept of the mean of the gradient and of its square.
      eps: added to the root of the second.
    """

    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        """Refuses betas outside [0, 1) and a negative eps."""
        super().__post_init__()
        for beta in self.betas:
            check_range('optimizer.betas', beta, 0, 1)
        check_range('optimizer.eps', self.eps, 0)

    def transformations(self, groups: Groups, rate: Rate) -> list[optax.GradientTransformation]:
        """Adam, decay, learning rate."""
        return [
            optax.scale_by_adam(*self.betas, eps=self.eps),
            decay_weights(self.weight_decay, groups),
            scale_by_rate(rate, self.lr, groups),
        ]


def make_optimizer(
    optimizer: Optimizer, schedule: ScheduleFactory, *, steps_per_epoch: int, epochs: float
) -> optax.GradientTransformation:
    """An optimizer for one run; its state is made of trees like the parameters and of counters.

    Args:
      optimizer: `SGD`, `LARS`, `AdamW` or another `Optimizer`.
      schedule: for example `WarmupCosine(warmup_epochs=10)`.
      steps_per_epoch: optimizer steps in an epoch.
      epochs: length of the run.

    Returns:
      A transformation whose `update` needs the parameters; the first has the rate of step 0.

    Raises:
      JsslError: if the schedule does not fit the run; from the transformation's `init`, if a key of
        `custom_keys` matches no parameter.
    """
    rate = functools.partial(schedule, steps_per_epoch=steps_per_epoch, epochs=epochs)
    rate(optimizer.lr)  # a schedule that does not fit the run fails here, not inside the first step
    groups = functools.partial(parameter_groups, custom_keys=optimizer.custom_keys)
    clip = [] if optimizer.clip is None else [clip_gradients(optimizer.clip)]
    return optax.chain(*clip, *optimizer.transformations(groups, rate), optax.scale(-1.0))


def clip_gradients(max_norm: float) -> optax.GradientTransformation:
    """Multiplies all gradients by min(1, max_norm / (norm + 1e-6)), norm being their joint L2 norm.

    optax's own clipping has no 1e-6; PyTorch's and so the reference's has.
    """

    def clip(updates: Any, params: Any) -> Any:
        del params
        factor = jnp.minimum(1.0, max_norm / (optax.tree.norm(updates) + 1e-6))
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), updates)

    return optax.stateless(clip)


def decay_weights(weight_decay: float, groups: Groups) -> optax.GradientTransformation:
    """g -> g + decay w, the decay being `weight_decay` times the group's `decay_mult`."""

    def decay(updates: Any, params: Any) -> Any:
        return jax.tree.map(
            lambda g, w, group: g + weight_decay * group.decay_mult * w,
            updates,
            params,
            groups(params),
        )

    return optax.stateless(decay)


def adapt_layers(
    weight_decay: float, eta: float, eps: float, groups: Groups
) -> optax.GradientTransformation:
    """g -> local (g + decay w) with local = eta |w| / (|g| + decay |w| + eps), for each tensor.

    `local` is 1 for a group with `lars_exclude`, and where w or g is all 0.
    """

    def adapt(g: jax.Array, w: jax.Array, group: Any) -> jax.Array:
        decay = weight_decay * group.decay_mult
        if group.lars_exclude:
            return g + decay * w
        g_norm, w_norm = jnp.linalg.norm(g.ravel()), jnp.linalg.norm(w.ravel())
        local = jnp.where(
            (w_norm > 0) & (g_norm > 0), eta * w_norm / (g_norm + decay * w_norm + eps), 1.0
        )
        return local * (g + decay * w)

    return optax.stateless(
        lambda updates, params: jax.tree.map(adapt, updates, params, groups(params))
    )


def accumulate_momentum(momentum: float, groups: Groups) -> optax.GradientTransformation:
    """g -> v <- momentum v + g, with the group's momentum if it has one; v starts at 0."""

    def accumulate(g: jax.Array, v: jax.Array, group: Any) -> jax.Array:
        return (momentum if group.momentum is None else group.momentum) * v + g

    def init(params: Any) -> optax.TraceState:
        return optax.TraceState(trace=jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: optax.TraceState, params: Any = None) -> Any:
        del params
        trace = jax.tree.map(accumulate, updates, state.trace, groups(updates))
        return trace, optax.TraceState(trace=trace)

    return optax.GradientTransformation(init, update)


def scale_by_rate(rate: Rate, lr: float, groups: Groups) -> optax.GradientTransformation:
    """g -> lr(step) g, the schedule starting from `lr` times the group's `lr_mult`."""

    def init(params: Any) -> optax.ScaleByScheduleState:
        groups(params)  # a key that matches nothing fails before anything is compiled
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(updates: Any, state: optax.ScaleByScheduleState, params: Any = None) -> Any:
        del params
        now = functools.cache(lambda lr_mult: rate(lr * lr_mult)(state.count))
        scaled = jax.tree.map(
            lambda g, group: g * jnp.asarray(now(group.lr_mult), g.dtype), updates, groups(updates)
        )
        return scaled, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)
