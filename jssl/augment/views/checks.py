"""What the fields of a policy may be; every refusal names the field, its value and the remedy."""

from typing import Any

from jssl.augment.ops import resample
from jssl.errors import JsslError, show, suggest

POLICY = 'give a policy such as View(size=224)'


def require(holds: bool, policy: object, field: str, remedy: str) -> None:
    """Raises a `JsslError` about a field unless `holds`."""
    if not holds:
        name = f'{type(policy).__name__}.{field}'
        raise JsslError(f'{name} is {show(getattr(policy, field))}; {remedy}.')


def check_choice(policy: object, field: str, names: Any, what: str) -> None:
    """One of `names`; `what` they are is for the message."""
    value = getattr(policy, field)
    known = isinstance(value, str) and value in names
    remedy = f'give a known {what}. {suggest(str(value), names)}'
    require(known, policy, field, remedy.rstrip('.'))


def check_interpolation(policy: object, field: str = 'interpolation') -> None:
    """A filter of `jssl.augment.ops.resample`."""
    check_choice(policy, field, resample.KERNELS, 'filter')


def check_channels(policy: Any, channels: int, colored: str = '') -> None:
    """One mean a channel, and three channels where `colored` names fields to set to 0 otherwise."""
    remedy = f'the images have {channels} channel(s); give one number for each'
    require(len(policy.mean) == channels, policy, 'mean', remedy)
    if colored and channels != 3:
        raise JsslError(
            f'{type(policy).__name__} has colour stages but the images have {channels} '
            f'channel(s); set {colored} to 0.'
        )


def store_interval(policy: object, field: str) -> None:
    """Two numbers, the smaller one first, kept as a tuple."""
    low, high = getattr(policy, field)
    require(low <= high, policy, field, 'give two positive numbers, the smaller one first')
    object.__setattr__(policy, field, (low, high))


def store_statistics(policy: Any) -> None:
    """`mean` and `std`: as many numbers of one as of the other, kept as tuples."""
    remedy = 'give one number per channel, on the scale of 0 to 255, as many as in mean'
    require(len(policy.mean) == len(policy.std), policy, 'std', remedy)
    for field in ('mean', 'std'):
        object.__setattr__(policy, field, tuple(getattr(policy, field)))
