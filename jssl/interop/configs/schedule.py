"""The learning rate over the run: the hooks of release 0.x and the schedulers of newer ones."""

import dataclasses
import math
from typing import Any

from jssl.errors import JsslError, show
from jssl.interop.configs.notes import Fields, kind
from jssl.interop.configs.values import Section

Config = dict[str, Any]
WARM = ('LinearLR',)
MOST = 100_000  # epochs up to which a rate falls again and again


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
      epochs: its length.
      epoch_steps: iterations of an epoch, for schedules that count these: where batches are
        accumulated there are several in a step. None where that is unknown.
    """

    epochs: int
    epoch_steps: int | None = None


def of_policy(fields: Fields, length: Length) -> Config:
    """The schedule of release 0.x (`lr_config`), whose warm-up multiplies what the policy says.

    The policy CosineAnnealing counts from the start of the run, StepFixCosineAnnealing from the end
    of the warm-up.
    """
    policy = fields.take('policy')
    warmup = _policy_warmup(fields, length, from_zero=policy == 'StepFixCosineAnnealing')
    by_epoch = bool(fields.take('by_epoch', True))
    if policy == 'step':
        gamma = {'gamma': fields.number('gamma', default=0.1)}
        if not by_epoch:
            fields.miss('by_epoch', False, 'the rate falls at epochs here')
        made: Config = {'type': 'MultiStep', 'milestones': _policy_steps(fields, length)}
        made |= gamma | warmup
    elif policy in ('CosineAnnealing', 'StepFixCosineAnnealing'):
        made = {'type': 'WarmupCosine', 'min_lr': fields.number('min_lr', default=0.0)}
        made |= {'by_epoch': True} if by_epoch else {}
        made |= warmup
        if warmup and policy == 'CosineAnnealing':
            made |= {'overlap': True}
        elif warmup:
            fields.notes.differ(
                fields.where('policy'),
                'during its warm-up StepFixCosineAnnealing also multiplies by a cosine mirrored at '
                "the warm-up's end; here the warm-up is linear",
            )
    elif policy in ('fixed', 'Fixed'):
        made = {'type': 'Constant'} | warmup
    else:
        fields.miss('policy', policy, 'the policies known are step, CosineAnnealing and Fixed')
        made = {'type': 'Constant'} | warmup
    fields.finish()
    return made


def _policy_steps(fields: Fields, length: Length) -> tuple[float, ...]:
    """The epochs at which the rate falls: those of a list, or every so many."""
    if isinstance(fields.section.get('step'), list | tuple):
        return tuple(fields.numbers('step'))
    return _every(fields.count('step'), length)


def _every(epochs: int, length: Length) -> tuple[float, ...]:
    return tuple(range(epochs, min(length.epochs, MOST), epochs))


def _policy_warmup(fields: Fields, length: Length, *, from_zero: bool) -> Config:
    """The warm-up of `lr_config`; that of StepFixCosineAnnealing reads no ratio, it begins at 0."""
    name, iters = fields.take('warmup'), fields.number('warmup_iters', default=0)
    ratio = fields.number('warmup_ratio', default=0.1)
    by_epoch = fields.take('warmup_by_epoch', False)
    if name is None:
        return {}
    if name != 'linear':
        fields.miss('warmup', name, 'a warm-up is linear here')
    epochs = iters if by_epoch else _in_epochs(iters, fields, 'warmup_iters', length)
    factor = 0.0 if from_zero else ratio
    return {'warmup_epochs': epochs, 'warmup_factor': factor, 'warmup_endpoint': False}


def of_schedulers(schedulers: Any, fields: Fields, length: Length) -> Config:
    """The schedule of newer releases (`param_scheduler`): a warm-up, then a fall, or either."""
    several = [schedulers] if isinstance(schedulers, Section) else schedulers or []
    if not isinstance(several, list | tuple) or not all(isinstance(s, Section) for s in several):
        raise fields.wrong('param_scheduler', schedulers, 'a list of dicts')
    made: Config = {}
    rest: list[Fields] = []
    for section in several:
        inner = Fields(section, fields.notes, f'param_scheduler.{kind(section)}')
        inner.ignore('type')
        if kind(section) in WARM and not made:
            made = _linear(inner, length)
        else:
            rest.append(inner)
    if len(rest) > 1:
        for inner in rest[1:]:
            fields.notes.miss(inner.place, inner.name, 'a second fall of the rate')
    if not rest:
        return {'type': 'Constant'} | made
    return _fall(rest[0], made, length)


def _linear(fields: Fields, length: Length) -> Config:
    """A warm-up."""
    factor = fields.number('start_factor', default=1 / 3)
    by_epoch, by_iter = fields.take('by_epoch', True), fields.take('convert_to_iter_based', False)
    begin, end = _span(fields, length, by_epoch)
    fields.only('end_factor', 1.0)
    if end == math.inf:
        fields.miss('end', None, 'a warm-up ends')
        end = 0
    if begin:
        fields.miss('begin', begin, 'a warm-up begins with the run')
    if by_epoch and not by_iter:
        fields.notes.differ(
            fields.place, 'the warm-up moves from epoch to epoch there, from step to step here'
        )
    fields.finish()
    return {'warmup_epochs': end, 'warmup_factor': factor}


def _fall(fields: Fields, warmup: Config, length: Length) -> Config:
    """What follows the warm-up."""
    name = kind(fields.section)
    by_epoch = bool(fields.take('by_epoch', True))
    by_step = not by_epoch or bool(fields.take('convert_to_iter_based', False))
    begin, end = _span(fields, length, by_epoch)
    warm = warmup.get('warmup_epochs', 0)
    if name == 'CosineAnnealingLR':
        made: Config = {'type': 'WarmupCosine'}
        floor = fields.number('eta_min', default=0.0)
        period = _period(fields, by_epoch, length, begin, end)
        made |= {'min_lr': floor} if floor else {}
        made |= {} if by_step else {'by_epoch': True}
        made |= {} if math.isclose(period, length.epochs - warm) else {'cosine_epochs': period}
        if begin != warm:
            fields.miss('begin', begin, f'a cosine begins with the end of the warm-up, {warm:g}')
    elif name in ('MultiStepLR', 'StepLR'):
        several = name == 'MultiStepLR'
        milestones = fields.numbers('milestones') if several else ()
        milestones = milestones if several else _every(fields.count('step_size'), length)
        if not by_epoch:
            fields.miss('by_epoch', False, 'the rate falls at epochs here')
        # Counted from its begin there, and only before its end.
        falls = tuple(int(begin) + x for x in milestones if begin + x < end)
        gamma = fields.number('gamma', default=0.1)
        made = {'type': 'MultiStep', 'milestones': falls, 'gamma': gamma}
    elif name == 'ConstantLR' and fields.number('factor', default=1 / 3) == 1:
        made = {'type': 'Constant'}
    else:
        fields.notes.miss(fields.place, fields.name, f'the schedule {show(name)} is not known')
        return {'type': 'Constant'} | warmup
    fields.ignore('verbose')
    fields.finish()
    return made | warmup


def _period(fields: Fields, by_epoch: bool, length: Length, begin: float, end: float) -> float:
    """The epochs of half a cosine, which must neither rise again nor be left early."""
    period = _in_unit(fields, 'T_max', by_epoch, length) or end - begin
    last = min(end, length.epochs)
    if period == math.inf:
        fields.miss('T_max', None, 'without T_max and end the rate does not fall there; give T_max')
        return max(length.epochs - begin, 1)
    if period < last - begin and not math.isclose(period, last - begin):
        fields.miss('T_max', fields.take('T_max'), 'the rate rises again after that, up to the end')
    elif end < length.epochs and not math.isclose(period, end - begin):
        fields.miss(
            'end', fields.take('end'), 'the rate stays as it is there before the cosine ends'
        )
    return period


def _span(fields: Fields, length: Length, by_epoch: Any) -> tuple[float, float]:
    """The epochs at which a scheduler begins and ends; without an end, infinity."""
    begin = _in_unit(fields, 'begin', by_epoch, length) or 0
    end = _in_unit(fields, 'end', by_epoch, length)
    return begin, math.inf if end is None else end


def _in_unit(fields: Fields, key: str, by_epoch: Any, length: Length) -> Any:
    """An entry in epochs; None where it is not there."""
    if fields.take(key) is None:
        return None
    value = fields.number(key, default=0)
    return value if by_epoch else _in_epochs(value, fields, key, length)


def _in_epochs(steps: Any, fields: Fields, key: str, length: Length) -> float:
    """Steps in epochs, exactly as many as there are."""
    if not steps:
        return 0
    if length.epoch_steps is None:
        raise JsslError(
            f'{fields.where(key)}: {fields.name}.{key}={show(steps)} counts steps, and how many an '
            'epoch has is unknown; add --images=N, the number of images to train on.'
        )
    epochs = steps / length.epoch_steps
    return int(epochs) if epochs == int(epochs) else epochs
