"""What the fields of a policy may be; every refusal names the field, its value and the remedy."""

import math
import numbers
from typing import Any

import numpy as np

from jssl.data import augment
from jssl.errors import JsslError, suggest

POLICY = 'give a policy such as View(size=224)'


def require(holds: bool, policy: object, field: str, remedy: str) -> None:
    """Raises a `JsslError` about a field unless `holds`."""
    if not holds:
        name = f'{type(policy).__name__}.{field}'
        raise JsslError(f'{name} is {getattr(policy, field)!r}; {remedy}.')


def check_size(policy: object, field: str, lowest: int = 1) -> None:
    """A whole number of at least `lowest`."""
    value = getattr(policy, field)
    enough = isinstance(value, (int, np.integer)) and bool(value >= lowest)
    require(enough, policy, field, f'give a whole number of at least {lowest}')


def check_number(policy: object, field: str, highest: float) -> None:
    """A number from 0 to `highest`, which may be infinity."""
    value = getattr(policy, field)
    bounds = 'of at least 0' if math.isinf(highest) else f'between 0 and {highest:g}'
    inside = _is_number(value) and bool(0 <= value <= highest)
    require(inside, policy, field, f'give a number {bounds}')


def check_choice(policy: object, field: str, names: Any, what: str) -> None:
    """One of `names`; `what` they are is for the message."""
    value = getattr(policy, field)
    known = isinstance(value, str) and value in names
    remedy = f'give a known {what}. {suggest(str(value), names)}'
    require(known, policy, field, remedy.rstrip('.'))


def check_interpolation(policy: object, field: str = 'interpolation') -> None:
    """A filter of `jssl.data.augment`."""
    check_choice(policy, field, augment.KERNELS, 'filter')


def check_channels(policy: Any, channels: int, colored: str = '') -> None:
    """One mean a channel, and three channels where `colored` names fields to set to 0 otherwise."""
    remedy = f'the images have {channels} channel(s); give one number for each'
    require(len(policy.mean) == channels, policy, 'mean', remedy)
    if colored and channels != 3:
        raise JsslError(
            f'{type(policy).__name__} has colour stages but the images have {channels} '
            f'channel(s); set {colored} to 0.'
        )


def store_interval(policy: object, field: str, highest: float) -> None:
    """Two positive numbers, the smaller one first, kept as a tuple."""
    bound = '' if math.isinf(highest) else f', none above {highest:g}'
    remedy = f'give two positive numbers, the smaller one first{bound}'
    value = _store_numbers(policy, field, remedy)
    increasing = len(value) == 2 and 0 < value[0] <= value[1] <= highest
    require(increasing, policy, field, remedy)


def store_statistics(policy: object) -> None:
    """`mean` and `std`: as many numbers of one as of the other, kept as tuples."""
    remedy = 'give one number per channel, on the scale of 0 to 255'
    mean = _store_numbers(policy, 'mean', remedy)
    std = _store_numbers(policy, 'std', remedy)
    positive = len(std) == len(mean) and all(number > 0 for number in std)
    require(positive, policy, 'std', f'{remedy}, positive and as many as in mean')


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and bool(math.isfinite(value))


def _store_numbers(policy: object, field: str, remedy: str) -> tuple[float, ...]:
    """Replace the field, a list or a tuple of numbers, by a tuple and return it."""
    value = getattr(policy, field)
    valid = isinstance(value, (list, tuple)) and all(_is_number(number) for number in value)
    require(valid, policy, field, remedy)
    object.__setattr__(policy, field, tuple(value))
    return tuple(value)
