"""Which values a field takes: said once, in its annotation, and checked wherever it is set.

    @dataclasses.dataclass(frozen=True)
    class Head(Checked):
        temperature: Positive = 0.1

A config, a command line and a call of the constructor are refused alike, by the field's name, when
the value is NaN, infinite or outside the range; to a type checker the field is a plain number.
"""

import collections.abc
import dataclasses
import functools
import numbers
import types
import typing
from typing import Annotated, Any, Protocol

import ml_dtypes
import numpy as np

from jssl.errors import JsslError, show

LARGEST = 2**31 - 1  # counts are int32 on the device
LONGEST_SIDE = 2**15 - 1  # pixels; XLA ends the process where an array has 2^63 bytes
LIMIT = 1e9  # squares of what is below stay finite in float32
SMALLEST = 1e-12  # what is divided by is at least this
COLDEST = 1e-4  # a similarity over it, twice over, keeps a softmax and its gradient in float32
FLOATS = {name: np.dtype(name) for name in ('float32', 'float64')}
FLOATS['bfloat16'] = np.dtype(ml_dtypes.bfloat16)


class Constraint(Protocol):
    """What an annotation demands of a value."""

    def accepts(self, value: Any) -> bool:
        """Whether `value` is one of those allowed."""

    def describe(self, value: Any) -> str:
        """What to give in place of `value`, such as 'a whole number of at least 1'."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`; True and False are none.

    Attributes:
      low: the smallest.
      high: the largest, or what it stays below where `below` is set.
      whole: whether only whole numbers are.
      below: whether `high` itself is not one of them.
    """

    low: float
    high: float
    whole: bool = False
    below: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether `value` is a number of the range."""
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            return False
        if self.whole and not isinstance(value, numbers.Integral):
            return False
        # NaN compares false with everything, and Python compares whole numbers of any size.
        return bool(self.low <= value < self.high if self.below else self.low <= value <= self.high)

    def describe(self, value: Any) -> str:
        """The range in words; the bound that only guards against overflow when it is crossed."""
        kind = 'whole number' if self.whole else 'number'
        number = isinstance(value, int | float)
        guards = (LARGEST, LONGEST_SIDE, LIMIT)
        open_above = self.high in guards and not (number and value > self.high)
        if self.low in (SMALLEST, COLDEST) and not (number and 0 < value < self.low):
            return f'a positive {kind}' + ('' if open_above else f' of at most {self.high:.10g}')
        if self.below:
            return f'a {kind} of at least {self.low:g} and below {self.high:g}'
        if open_above:
            return f'a {kind} of at least {self.low:g}'
        return f'a {kind} between {self.low:g} and {self.high:.10g}'


@dataclasses.dataclass(frozen=True)
class FloatType:
    """The types that networks compute in; float16 is not: without loss scaling it underflows."""

    def accepts(self, value: Any) -> bool:
        """Whether `value` is one of `FLOATS`, by name, as a NumPy type or as JAX's."""
        if isinstance(value, str):
            return value in FLOATS
        try:
            return np.dtype(value) in FLOATS.values()
        except (TypeError, ValueError):
            return False

    def describe(self, value: Any) -> str:
        """Their names; to those who ask for float16, why it is not among them."""
        half = str(value) in ('float16', 'half', 'fp16', "<class 'jax.numpy.float16'>")
        why = ' (float16 would need its loss scaled, which no algorithm does)' if half else ''
        return f'one of {", ".join(map(repr, FLOATS))}{why}'


Count = Annotated[int, Range(1, LARGEST, whole=True)]
Several = Annotated[int, Range(2, LARGEST, whole=True)]  # of which one is chosen
Blocks = Annotated[int, Range(1, 1000, whole=True)]  # of which networks are made, one by one
Side = Annotated[int, Range(1, LONGEST_SIDE, whole=True)]  # of an image, in pixels
Natural = Annotated[int, Range(0, LARGEST, whole=True)]
Stages = Annotated[int, Range(-1, LARGEST, whole=True)]  # how many are frozen; -1 for nothing
Seed = Annotated[int, Range(0, 2**32 - 1, whole=True)]  # JAX drops the bits above without a word
Positive = Annotated[float, Range(SMALLEST, LIMIT)]
Temperature = Annotated[float, Range(COLDEST, LIMIT)]  # of a softmax or of Sinkhorn
NonNegative = Annotated[float, Range(0, LIMIT)]
Finite = Annotated[float, Range(-LIMIT, LIMIT)]
Fraction = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(SMALLEST, 1)]  # a part of a whole that is not nothing
BelowOne = Annotated[float, Range(0, 1, below=True)]
DType = Annotated[Any, FloatType()]


class Checked:
    """A base of dataclasses, Flax modules among them, whose annotated fields are checked when made.

    Raises:
      JsslError: names the class, the field, its value and what to give instead.
    """

    def __post_init__(self) -> None:
        """Refuses values outside their ranges; a subclass calls this before checks of its own."""
        component: Any = type(self)
        for name, hint in constrained(component).items():
            check_value(f'{component.__name__}.{name}', getattr(self, name), hint)
        after = getattr(super(), '__post_init__', None)
        if after is not None:  # of a Flax module
            after()


@functools.cache
def constrained(component: type) -> dict[str, Any]:
    """The annotations of a class's fields that constrain their values."""
    hints = typing.get_type_hints(component, include_extras=True)
    fields = [field.name for field in dataclasses.fields(component)]
    return {name: hints[name] for name in fields if name in hints and _constrains(hints[name])}


def check_value(name: str, value: Any, hint: Any) -> None:
    """Raises a `JsslError` about `name` unless `value` is what the annotation `hint` allows."""
    if not _fits(value, hint):
        raise JsslError(f'{name}={show(value)} must be {_describe(value, hint)}.')


def distinct(values: collections.abc.Sequence[Any], valid: collections.abc.Iterable[Any]) -> bool:
    """Whether `values` are some of `valid`, at least one and none of them twice."""
    return 0 < len(set(values)) == len(values) and set(values) <= set(valid)


def _constrains(hint: Any) -> bool:
    return typing.get_origin(hint) is Annotated or any(map(_constrains, typing.get_args(hint)))


def _fits(value: Any, hint: Any) -> bool:
    """Whether `value` keeps to the constraints in an annotation, those of its parts included."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return all(constraint.accepts(value) for constraint in arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin in (tuple, collections.abc.Sequence):
        return isinstance(value, tuple | list) and _all_fit(value, arguments)
    if origin is collections.abc.Mapping:
        return isinstance(value, collections.abc.Mapping) and _all_fit(
            list(value.values()), arguments[1:]
        )
    kind = origin or hint
    return not isinstance(kind, type) or isinstance(value, kind)


def _all_fit(values: collections.abc.Sequence[Any], hints: tuple[Any, ...]) -> bool:
    """Whether values fit the arguments of ``tuple[X, Y]``, ``tuple[X, ...]`` or ``Sequence[X]``."""
    length = len(values) == 2 or not _is_pair(hints)
    return length and all(_fits(value, hints[0]) for value in values)


def _is_pair(hints: tuple[Any, ...]) -> bool:
    return len(hints) == 2 and hints[1] is not Ellipsis


def _describe(value: Any, hint: Any) -> str:
    """What a value that does not fit should be."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return arguments[1].describe(value)
    if origin in (typing.Union, types.UnionType):
        options = [_describe(value, option) for option in arguments]
        return ' or '.join(dict.fromkeys(options))
    if origin in (tuple, collections.abc.Sequence):
        length = 'two numbers' if _is_pair(arguments) else 'numbers'
        parts = value if isinstance(value, tuple | list) else ()
        wrong = next((part for part in parts if not _fits(part, arguments[0])), None)
        return f'a list of {length}, each {_describe(wrong, arguments[0])}'
    if origin is collections.abc.Mapping:
        return f'a dict of numbers, each {_describe(None, arguments[1])}'
    return 'None' if hint is type(None) else getattr(origin or hint, '__name__', str(hint))
