"""SGD, LARS and AdamW as the reference computes them, and any optimizer of optax.

An optimizer is a frozen dataclass of settings; `make_optimizer` joins it with a schedule into an
optax transformation. Each optimizer is a sequence of small transformations: those of optax where it
has them, and those of `jssl.optim.transformations`, which treat every parameter by its group.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import optax

from jssl.checks import BelowOne, Checked, Count, NonNegative, Positive, Share
from jssl.errors import JsslError, show
from jssl.optim.parameter_groups import NO_DECAY_NO_ADAPT as NO_DECAY_NO_ADAPT
from jssl.optim.parameter_groups import (
    CustomKeys,
    check_custom_keys,
    check_group,
    parameter_groups,
)
from jssl.optim.scheduled import Scheduled
from jssl.optim.schedules import (
    Constant,
    Schedule,
    ScheduleFactory,
    factory_of,
)
from jssl.optim.transformations import (
    ClipBy,
    Groups,
    Rate,
    accumulate_momentum,
    adapt_layers,
    clip_gradients,
    decay_weights,
    descend,
    keep_frozen,
    scale_by_moments,
    scale_by_rate,
    scale_by_trust,
    skip_at_first,
)

BatchRule = Literal['linear', 'sqrt']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(Checked, abc.ABC):
    """What every optimizer has; a subclass adds its settings and says what it is made of.

    Attributes:
      lr: base learning rate.
      base_batch_size: the batch that `lr` is for; a run with another one scales it, see
        `for_batch`. None takes `lr` as it is for every batch.
      batch_rule: 'linear' scales with the batch (Goyal et al. 2017, section 2.1), as is usual for
        SGD and LARS; 'sqrt' with its root (Malladi et al. 2022, whose betas stay here), for AdamW.
      weight_decay: factor of the decay towards 0.
      decay_schedule: of the decay over the run; `WarmupCosine(min_lr=0.4)` takes it to 0.4 as in
        DINO (Caron et al. 2021, section 3.2).
      clip: bound of the gradient's L2 norm; None for no bound.
      clip_by: whether that is the norm of 'all' gradients, of each 'part', such as the backbone, or
        of each 'tensor', see `clip_gradients`.
      custom_keys: settings of groups of parameters, see `parameter_groups`.
      vectors: settings of all parameters of one dimension, biases and the scales of norms; what
        `custom_keys` says of one goes before.
      layer_decay_rate: of the learning rates from each layer to the one before it, for fine-tuning;
        None for the same rate everywhere.

    Raises:
      JsslError: if a field is out of range or a key has an entry that the optimizer does not know.
    """

    lr: NonNegative
    base_batch_size: Count | None = None
    batch_rule: BatchRule = 'linear'
    weight_decay: NonNegative = 0.0
    decay_schedule: ScheduleFactory = dataclasses.field(default_factory=Constant)
    clip: Positive | None = None
    clip_by: ClipBy = 'all'
    custom_keys: CustomKeys = dataclasses.field(default_factory=dict)
    vectors: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    layer_decay_rate: Share | None = None

    entries: ClassVar[tuple[str, ...]] = (
        *('lr_mult', 'decay_mult', 'fix_lr', 'frozen_epochs', 'zero_lr_epochs'),
    )

    def __post_init__(self) -> None:
        """Refuses numbers out of range and unknown entries of `custom_keys`."""
        super().__post_init__()
        check_custom_keys(self.custom_keys, self.entries)
        check_group('optimizer.vectors', self.vectors, self.entries)
        if self.clip_by not in get_args(ClipBy):
            raise JsslError(
                f'optimizer.clip_by={show(self.clip_by)} must be one of '
                f'{", ".join(map(repr, get_args(ClipBy)))}, such as --config.optimizer.clip_by=all.'
            )
        if self.batch_rule not in get_args(BatchRule):
            raise JsslError(
                f'optimizer.batch_rule={show(self.batch_rule)} must be one of '
                f'{", ".join(map(repr, get_args(BatchRule)))}, such as '
                '--config.optimizer.batch_rule=sqrt.'
            )
        if self.batch_rule != 'linear' and self.base_batch_size is None:
            raise JsslError(
                f'optimizer.batch_rule={self.batch_rule!r} scales the rate from the batch that it '
                'is for, which is not given. Add --config.optimizer.base_batch_size=256, or '
                'whichever it is.'
            )

    def for_batch(self, batch_size: int) -> Self:
        """The optimizer whose `lr` is that for batches of this size, by `batch_rule`.

        A floor of the schedule (`min_lr`) and the weight decay stay as they are.

        Args:
          batch_size: images of a step, over all devices.

        Examples:
          >>> SGD(lr=0.3, base_batch_size=256).for_batch(1024).lr
          1.2
          >>> AdamW(lr=1e-3, base_batch_size=256, batch_rule='sqrt').for_batch(1024).lr
          0.002
        """
        if self.base_batch_size is None:
            return self
        ratio = batch_size / self.base_batch_size
        scale = ratio if self.batch_rule == 'linear' else ratio**0.5
        return dataclasses.replace(
            self, lr=self.lr * scale, base_batch_size=None, batch_rule='linear'
        )

    @abc.abstractmethod
    def transformations(
        self, groups: Groups, rate: Rate, decay: Schedule
    ) -> list[optax.GradientTransformation]:
        """The steps from the (clipped) gradient to what is subtracted from the parameters.

        Args:
          groups: params -> the group of each.
          rate: base learning rate -> its schedule over the run.
          decay: the weight decay over the run.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class _WithMomentum(Optimizer):
    """What SGD and LARS share: how much of the former updates they keep."""

    momentum: BelowOne = 0.0
    nesterov: bool = False
    dampening: BelowOne = 0.0

    entries: ClassVar[tuple[str, ...]] = (*Optimizer.entries, 'momentum')

    def __post_init__(self) -> None:
        """Refuses a Nesterov momentum without momentum."""
        super().__post_init__()
        if self.nesterov and (self.momentum == 0 or self.dampening > 0):
            raise JsslError(
                f'optimizer.nesterov=True needs a momentum and no dampening, but momentum is '
                f'{self.momentum} and dampening {self.dampening}; set momentum=0.9, dampening=0 or '
                'nesterov=False.'
            )

    def _accumulate(self, groups: Groups) -> optax.GradientTransformation:
        return accumulate_momentum(
            self.momentum, groups, nesterov=self.nesterov, dampening=self.dampening
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD(_WithMomentum):
    """Stochastic gradient descent: v <- momentum v + (g + decay w), w <- w - lr v (as PyTorch's).

    Attributes:
      base_batch_size, batch_rule: see `Optimizer`.
      lr, weight_decay, decay_schedule, clip, clip_by, custom_keys, vectors: see `Optimizer`; a
        group may set its `momentum`.
      momentum: the part of v that is kept.
      nesterov: subtract lr (g + momentum v) instead (Sutskever et al. 2013, as PyTorch has it).
      dampening: the part of a new g that v does not take up, but for the first.
    """

    def transformations(
        self, groups: Groups, rate: Rate, decay: Schedule
    ) -> list[optax.GradientTransformation]:
        """Decay, momentum, learning rate."""
        return [
            decay_weights(decay, groups),
            self._accumulate(groups),
            scale_by_rate(rate, self.lr, groups),
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LARS(_WithMomentum):
    """Layer-wise adaptive rates (You et al. 2017, algorithm 1), as the reference computes them.

    v <- momentum v + local lr (g + decay w), w <- w - v, with local from `adapt_layers`. The rate
    is inside v: when it changes, what v holds already is not rescaled.

    Attributes:
      base_batch_size, batch_rule: see `Optimizer`.
      lr, weight_decay, decay_schedule, clip, clip_by, custom_keys, vectors: see `Optimizer`; a
        group may set its `momentum` and `lars_exclude`.
      momentum, nesterov, dampening: as for `SGD`, of the adapted and scaled g.
      eta: trust coefficient of the local rate.
      eps: added to the local rate's denominator.
    """

    eta: NonNegative = 0.001
    eps: NonNegative = 1e-8

    entries: ClassVar[tuple[str, ...]] = (*_WithMomentum.entries, 'lars_exclude')

    def transformations(
        self, groups: Groups, rate: Rate, decay: Schedule
    ) -> list[optax.GradientTransformation]:
        """Decay and adaptation, learning rate, momentum."""
        return [
            adapt_layers(decay, self.eta, self.eps, groups),
            scale_by_rate(rate, self.lr, groups),
            self._accumulate(groups),
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrustRatioLARS(_WithMomentum):
    """LARS as the authors of VICReg and Barlow Twins compute it, by the decayed gradient.

    d <- g + decay w, d <- d eta |w| / |d|, v <- momentum v + d, w <- w - lr v. Three things differ
    from `LARS`: the norm includes the decay, the rate is outside v, and nothing is added to |d|.
    Their recipes leave vectors out: ``vectors={'decay_mult': 0.0, 'lars_exclude': True}``.

    Attributes:
      base_batch_size, batch_rule: see `Optimizer`.
      lr, weight_decay, decay_schedule, clip, clip_by, custom_keys, vectors: see `Optimizer`; a
        group may set its `momentum` and `lars_exclude`.
      momentum, nesterov, dampening: as for `SGD`, of the adapted d.
      eta: trust coefficient of the local rate.
    """

    eta: NonNegative = 0.001

    entries: ClassVar[tuple[str, ...]] = LARS.entries

    def transformations(
        self, groups: Groups, rate: Rate, decay: Schedule
    ) -> list[optax.GradientTransformation]:
        """Decay, adaptation, momentum, learning rate."""
        return [
            decay_weights(decay, groups),
            scale_by_trust(self.eta, groups),
            self._accumulate(groups),
            scale_by_rate(rate, self.lr, groups),
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), as PyTorch's.

    Attributes:
      base_batch_size, batch_rule: see `Optimizer`.
      lr, weight_decay, decay_schedule, clip, clip_by, custom_keys, vectors: see `Optimizer`; the
        decay is multiplied by the rate.
      betas: what is kept of the mean of the gradient and of its square.
      eps: added to the root of the second.
    """

    weight_decay: NonNegative = 0.01
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    eps: NonNegative = 1e-8

    def transformations(
        self, groups: Groups, rate: Rate, decay: Schedule
    ) -> list[optax.GradientTransformation]:
        """Adam, decay, learning rate."""
        return [
            scale_by_moments(self.betas, self.eps, groups),
            decay_weights(decay, groups),
            scale_by_rate(rate, self.lr, groups),
        ]


def make_optimizer(
    optimizer: Optimizer | Scheduled | optax.GradientTransformation,
    schedule: ScheduleFactory | Schedule,
    *,
    steps_per_epoch: int,
    epochs: float,
    is_frozen: Callable[[str], bool] | None = None,
    get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
) -> optax.GradientTransformation:
    """An optimizer for one run; its state is made of trees like the parameters and of counters.

    Args:
      optimizer: `SGD`, `LARS`, `AdamW` or another `Optimizer`; a `Scheduled` function of optax; or
        a transformation as it is, which has its learning rate in it.
      schedule: for example `WarmupCosine(warmup_epochs=10)`, or a function of the step that
        multiplies the base rate, such as those of optax. `Constant()` for a transformation.
      steps_per_epoch: optimizer steps in an epoch.
      epochs: length of the run.
      is_frozen: name of a parameter, such as ``backbone.conv1.kernel`` -> whether it stays as it
        is, decay or not; None trains all.
      get_layer_depth: name of a parameter -> how deep it lies and the number of depths, for layer
        decay.

    Returns:
      A transformation whose `update` needs the parameters; the first has the rate of step 0.

    Raises:
      JsslError: if the schedule does not fit the run or has no effect, or layer decay comes without
        `get_layer_depth`; from the transformation's `init`, if a key of `custom_keys` matches no
        parameter.

    Examples:
      >>> import jax.numpy as jnp
      >>> sgd = make_optimizer(SGD(lr=0.5), Constant(), steps_per_epoch=10, epochs=2)
      >>> params = {'w': jnp.array([1.0, 2.0])}
      >>> updates, state = sgd.update(params, sgd.init(params), params)
      >>> optax.apply_updates(params, updates)['w'].tolist()
      [0.5, 1.0]
    """
    length: dict[str, Any] = {'steps_per_epoch': steps_per_epoch, 'epochs': epochs}
    rate = learning_rate(optimizer, schedule, **length)  # fails here, not inside the first step
    if not isinstance(optimizer, Optimizer):
        plain = optimizer if rate is None else optimizer.transformation(rate)
        return plain if is_frozen is None else optax.chain(plain, keep_frozen(is_frozen))
    if optimizer.layer_decay_rate is not None and get_layer_depth is None:
        raise JsslError(
            f'optimizer.layer_decay_rate={optimizer.layer_decay_rate} needs to know how deep the '
            'parameters lie; give make_optimizer the get_layer_depth of the algorithm.'
        )
    groups = functools.partial(
        parameter_groups,
        custom_keys=optimizer.custom_keys,
        vectors=optimizer.vectors,
        steps_per_epoch=steps_per_epoch,
        is_frozen=is_frozen,
        get_layer_depth=get_layer_depth,
        layer_decay_rate=optimizer.layer_decay_rate,
    )
    return _chained(optimizer, functools.partial(factory_of(schedule), **length), groups, length)


def _chained(
    optimizer: Optimizer, rates: Rate, groups: Groups, length: dict[str, Any]
) -> optax.GradientTransformation:
    """An optimizer of ours for a run of that length."""
    clip = [] if optimizer.clip is None else [clip_gradients(optimizer.clip, optimizer.clip_by)]
    decay = factory_of(optimizer.decay_schedule)(optimizer.weight_decay, **length)
    steps = optimizer.transformations(groups, rates, decay)
    skip = [skip_at_first(groups)] if _skips(optimizer) else []
    return optax.chain(*clip, *steps, *skip, descend(groups))


def _skips(optimizer: Optimizer) -> bool:
    """Whether it leaves out some parameters at first."""
    groups = (optimizer.vectors, *optimizer.custom_keys.values())
    return any(group.get('frozen_epochs') for group in groups)


def learning_rate(
    optimizer: Optimizer | Scheduled | optax.GradientTransformation,
    schedule: ScheduleFactory | Schedule,
    *,
    steps_per_epoch: int,
    epochs: float,
) -> Schedule | None:
    """Step -> learning rate of a parameter without a multiplier; None where optax alone knows it.

    Args:
      optimizer, schedule, steps_per_epoch, epochs: see `make_optimizer`.

    Raises:
      JsslError: if the schedule does not fit the run or has no effect, or the rate is for another
        batch than is known here.
    """
    if isinstance(optimizer, Optimizer) and optimizer.base_batch_size is not None:
        raise JsslError(
            f'optimizer.base_batch_size={optimizer.base_batch_size} needs to know the batch; give '
            'optimizer.for_batch(512), with the images of a step in place of 512.'
        )
    if isinstance(optimizer, Optimizer | Scheduled):
        return factory_of(schedule)(optimizer.lr, steps_per_epoch=steps_per_epoch, epochs=epochs)
    if schedule != Constant():
        raise JsslError(
            f'schedule={show(schedule)} has no effect on an optax transformation, which has its '
            'learning rate in it. Leave the schedule out (--config.schedule=None) and give the '
            "rate to optax, or let the run's schedule lead: with --config.optimizer.learning_rate="
            '0.001 in a config, with Scheduled(optax.adamw, lr=1e-3) of jssl.optim in Python.'
        )
    return None
