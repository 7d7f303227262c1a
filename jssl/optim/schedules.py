"""Learning rates as functions of the step: warm-up, then constant, cosine or in steps.

A schedule is described in epochs and says nothing of the base rate; calling it with the base rate
and the length of the run gives the function of the step. Each parameter group calls it with its own
base rate, so a floor stays an absolute value. The rates equal those of the reference's schedulers.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import BelowOne, Checked, Count, Natural, NonNegative, Positive, check_value
from jssl.errors import JsslError
from jssl.kinds import SCHEDULE

Schedule = Callable[[Any], Any]  # step (scalar or array of any shape) -> rate of the same shape
# (base_lr, *, steps_per_epoch, epochs) -> schedule
ScheduleFactory = Annotated[Callable[..., Schedule], SCHEDULE]


@dataclasses.dataclass(frozen=True)
class _Run:
    """The length of a run, in steps an epoch and epochs, warm-up included."""

    steps_per_epoch: int
    epochs: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Checked):
    """The base rate, after an optional linear warm-up (Goyal et al. 2017, section 2.2).

    At step t of W warm-up steps the rate is base (f + (1 - f) t / (W - 1)): it starts at f base and
    reaches the base rate at step W - 1, the last of the warm-up; with W in place of W - 1 at the
    first step after it.

    Attributes:
      warmup_epochs: length of the warm-up in epochs; 0 for none.
      warmup_factor: f, the fraction of the base rate at step 0.
      warmup_endpoint: whether the last step of the warm-up has the base rate (MMEngine, DINO), or
        the first one after it (VICReg, I-JEPA, DINOv3).
      first_step: the number that the schedule gives the first step of the run: 1 in I-JEPA.

    Raises:
      JsslError: if a field is out of range, or, when called, if the warm-up fills the run.

    Examples:
      >>> rate = Constant(warmup_epochs=1, warmup_factor=0.5)(0.2, steps_per_epoch=3, epochs=2)
      >>> rate(np.arange(4)).round(3).tolist()
      [0.1, 0.15, 0.2, 0.2]
      >>> rate = Constant(warmup_epochs=1, warmup_factor=0, warmup_endpoint=False)
      >>> rate(0.3, steps_per_epoch=3, epochs=2)(np.arange(4)).round(3).tolist()
      [0.0, 0.1, 0.2, 0.3]
    """

    warmup_epochs: NonNegative = 0
    warmup_factor: BelowOne = 1e-4
    warmup_endpoint: bool = True
    first_step: Natural = 0

    def __call__(self, base_lr: float, *, steps_per_epoch: int, epochs: float) -> Schedule:
        """The rate as a function of the step.

        Args:
          base_lr: the rate that the warm-up leads to.
          steps_per_epoch: optimizer steps in an epoch.
          epochs: length of the run, warm-up included.

        Returns:
          A function of the step (from 0), of any shape: a traced integer in a jit-compiled function
          gives a JAX array, a Python or NumPy integer a float64 NumPy value without touching a
          device.
        """
        check_value('optimizer.lr', base_lr, NonNegative)
        check_value('steps_per_epoch', steps_per_epoch, Count)
        if epochs <= self.warmup_epochs:
            raise JsslError(
                f'schedule.warmup_epochs is {self.warmup_epochs}, but the run has {epochs} epochs; '
                'lengthen the run or shorten the warm-up, such as --config.schedule.warmup_epochs='
                f'{epochs / 4:g}, so that something is left after it.'
            )
        run = _Run(steps_per_epoch, epochs)

        def schedule(step: Any) -> Any:
            # an int32 step would make float32 rates even where JAX has float64
            step = _numpy_of(step).asarray(step, int) + self.first_step
            return self._warmup(step, run) * self._decay(base_lr, step, run)

        return schedule

    def _warmup(self, step: Any, run: _Run) -> Any:
        """The fraction of the scheduled rate at `step`; 1 once the warm-up is over."""
        steps = round(self.warmup_epochs * run.steps_per_epoch)
        if steps == 0:
            return 1.0
        # one warm-up step alone starts at f too, and has no W - 1 to divide by
        last = max(steps - 1, 1) if self.warmup_endpoint else steps
        progress = _numpy_of(step).minimum(step / last, 1.0)
        return self.warmup_factor + (1.0 - self.warmup_factor) * progress

    def _decay(self, base_lr: float, step: Any, run: _Run) -> Any:
        """The rate at `step` but for the warm-up; `base_lr` as long as the warm-up lasts."""
        del run
        numpy = _numpy_of(step)
        return numpy.full(numpy.shape(step), base_lr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmupCosine(Constant):
    """Half a cosine from the base rate to a floor (Loshchilov and Hutter 2017, equation 5).

    s steps (or epochs) into the T that the warm-up leaves, the rate is
    floor + (base - floor) (1 + cos(pi s / T)) / 2; after the run it stays at s = T - 1. With T - 1
    in place of T the last one is the floor itself.

    Attributes:
      warmup_epochs, warmup_factor, warmup_endpoint, first_step: see `Constant`.
      min_lr: the floor, the same for all parameter groups, whatever their multiplier; as a schedule
        of the weight decay it is often above the base.
      by_epoch: whether the rate stays constant inside an epoch. The warm-up never does.
      cosine_epochs: T in epochs, None for what the warm-up leaves. Longer, the run ends before the
        cosine does (I-JEPA, whose cosine is a quarter longer); shorter, its last rate stays.
      endpoint: whether the last step of the cosine has the floor (DINOv3).
      overlap: whether the cosine begins with the run, and the warm-up multiplies it (MMCV), rather
        than with the end of the warm-up.

    Examples:
      >>> rate = WarmupCosine(min_lr=0.1)(0.2, steps_per_epoch=2, epochs=2)
      >>> rate(np.arange(4)).round(3).tolist()
      [0.2, 0.185, 0.15, 0.115]
      >>> rate = WarmupCosine(endpoint=True, cosine_epochs=1.5)(0.2, steps_per_epoch=2, epochs=2)
      >>> rate(np.arange(4)).round(3).tolist()
      [0.2, 0.1, 0.0, 0.0]
    """

    min_lr: NonNegative = 0.0
    by_epoch: bool = False
    cosine_epochs: Positive | None = None
    endpoint: bool = False
    overlap: bool = False

    def _decay(self, base_lr: float, step: Any, run: _Run) -> Any:
        numpy = _numpy_of(step)
        now = step // run.steps_per_epoch if self.by_epoch else step
        unit = 1 if self.by_epoch else run.steps_per_epoch
        start = 0 if self.overlap else self.warmup_epochs
        length = (self.cosine_epochs or run.epochs - start) * unit
        last = max(length - 1 + self.first_step, 0)
        elapsed = numpy.clip(now - start * unit, 0, last)
        cosine = numpy.cos(math.pi * elapsed / (max(length - 1, 1) if self.endpoint else length))
        return self.min_lr + (base_lr - self.min_lr) * (1.0 + cosine) / 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TruncatedCosine(Constant):
    """A cosine cut off before its flat end, and stretched so that it still ends at the floor.

    With c(s) the cosine over (1 + extra) T steps, both ends included, the rate is
    floor + (base - floor) (c(s) - c(T - 1)) / (c(0) - c(T - 1)), as in DINOv3's truncated schedule.

    Attributes:
      warmup_epochs, warmup_factor, warmup_endpoint, first_step: see `Constant`.
      min_lr: the floor.
      extra: the part that is cut off, as a share of the rest.

    Examples:
      >>> rate = TruncatedCosine(min_lr=0.1, extra=0.5)(0.2, steps_per_epoch=4, epochs=1)
      >>> rate(np.arange(4)).round(3).tolist()
      [0.2, 0.185, 0.147, 0.1]
    """

    min_lr: NonNegative = 0.0
    extra: NonNegative = 0.0

    def _decay(self, base_lr: float, step: Any, run: _Run) -> Any:
        numpy = _numpy_of(step)
        warmup = self.warmup_epochs * run.steps_per_epoch
        last = max(run.epochs * run.steps_per_epoch - warmup - 1, 1)
        angle = math.pi / max(int((1 + self.extra) * (last + 1)) - 1, 1)
        cosine = numpy.cos(angle * numpy.clip(step - warmup, 0, last))
        end = math.cos(angle * last)
        return self.min_lr + (base_lr - self.min_lr) * (cosine - end) / (1.0 - end)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiStep(Constant):
    """Multiplies the rate by `gamma` at the start of each epoch of `milestones`.

    Attributes:
      warmup_epochs, warmup_factor, warmup_endpoint, first_step: see `Constant`.
      milestones: epochs, counted from the start of the run, warm-up included. Those past its end
        never come.
      gamma: the factor.

    Examples:
      >>> rate = MultiStep(milestones=(1, 2))(0.2, steps_per_epoch=1, epochs=3)
      >>> rate(np.arange(3)).round(3).tolist()
      [0.2, 0.02, 0.002]
    """

    milestones: tuple[Natural, ...]
    gamma: NonNegative = 0.1

    def _decay(self, base_lr: float, step: Any, run: _Run) -> Any:
        numpy = _numpy_of(step)
        epoch = numpy.expand_dims(step // run.steps_per_epoch, -1)
        passed = numpy.sum(epoch >= numpy.asarray(self.milestones), axis=-1)
        return base_lr * numpy.power(float(self.gamma), passed)


def factory_of(schedule: ScheduleFactory | Schedule) -> ScheduleFactory:
    """The schedule as what makes one of a base rate and a length.

    A function of the step alone, as those of optax are, multiplies the base rate.

    Examples:
      >>> halve = factory_of(lambda step: 0.5**step)
      >>> halve(0.2, steps_per_epoch=5, epochs=2)(1)
      0.1
    """
    try:
        inspect.signature(schedule).bind(1.0, steps_per_epoch=1, epochs=1)
    except TypeError:
        return functools.partial(_multiplied, schedule)
    except ValueError:  # it does not say
        pass
    return schedule


def _multiplied(
    schedule: Schedule, base_lr: float, *, steps_per_epoch: int, epochs: float
) -> Schedule:
    del steps_per_epoch, epochs
    return lambda step: base_lr * schedule(step)


def _numpy_of(step: Any) -> Any:
    """`jax.numpy` for a step on the device (or traced), NumPy for one on the host."""
    return jnp if isinstance(step, jax.Array) else np
