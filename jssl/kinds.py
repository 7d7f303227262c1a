"""The kinds of parts that configs describe, and where a bare class name of each is looked up.

The annotation of a field says which kind it takes, whatever the field is called:

    @dataclasses.dataclass(frozen=True)
    class TwoHeads(jssl.Algorithm):
        backbone: Backbone
        patch_head: Head
        views: tuple[View, ...]

Nothing is registered: a class of your own is named as ``'my_module:MyClass'`` in any field.
"""

import dataclasses
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax

PLAIN = (str, int, float, Mapping, tuple, list, types.NoneType)  # any other object may be a part
UNIONS = (typing.Union, types.UnionType)
CONTAINERS = (tuple, list, set, frozenset, dict, Mapping, Sequence, Literal)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of part; in an annotation, ``Annotated[nn.Module, BACKBONE]``, what a field takes.

    Attributes:
      name: in one word.
      package: where a bare class name is looked up.
    """

    name: str
    package: str

    @property
    def words(self) -> str:
        """The name as it stands in a sentence."""
        return self.name.replace('_', ' ')

    def accepts(self, value: Any) -> bool:
        """Whether `value` may be such a part: it is no plain data, such as its description."""
        return not is_plain(value)

    def describe(self, value: Any) -> str:
        """What to give in place of `value`."""
        del value
        return f'a {self.words} that was made, of a class of {self.package} or of your own'


MODEL = Kind('model', 'jssl.algorithms')
BACKBONE = Kind('backbone', 'jssl.backbones')
NECK = Kind('neck', 'jssl.necks')
HEAD = Kind('head', 'jssl.heads')
LOSS = Kind('loss', 'jssl.losses')
TARGET_GENERATOR = Kind('target_generator', 'jssl.target_generators')
MEMORY = Kind('memory', 'jssl.memories')
MASKS = Kind('masks', 'jssl.augment.masks')
VIEW = Kind('view', 'jssl.augment.views')
DATA = Kind('data', 'jssl.data.sources')
SAMPLER = Kind('sampler', 'jssl.data.loading.samplers')
OPTIMIZER = Kind('optimizer', 'jssl.optim.optimizers')
SCHEDULE = Kind('schedule', 'jssl.optim.schedules')
KINDS = {
    kind.name: kind
    for kind in (
        *(MODEL, BACKBONE, NECK, HEAD, LOSS, TARGET_GENERATOR, MEMORY),
        *(MASKS, VIEW, DATA, SAMPLER, OPTIMIZER, SCHEDULE),
    )
}

Backbone = Annotated[nn.Module, BACKBONE]
Neck = Annotated[nn.Module, NECK]  # decoders and predictors too
Head = Annotated[Any, HEAD]  # with parameters a Flax module, without a frozen dataclass
Loss = Annotated[Callable[[jax.Array, jax.Array], jax.Array], LOSS]  # (logits, targets) -> scalar
TargetGenerator = Annotated[Callable[[jax.Array], Any], TARGET_GENERATOR]


def is_plain(value: Any) -> bool:
    """Whether a value is data and no part; named tuples, as those of optax, are parts."""
    return isinstance(value, PLAIN) and not hasattr(value, '_fields')


def classes_of(kind: Kind) -> dict[str, type]:
    """The classes of jssl of one kind, by name."""
    found = vars(importlib.import_module(kind.package))
    return {key: value for key, value in found.items() if _is_component(value, kind.package)}


def _is_component(value: Any, package: str) -> bool:
    """Public classes with fields that `package` holds itself.

    Not what it merely imports, nor the errors, protocols and bases that stand beside them.
    """
    return (
        inspect.isclass(value)
        and f'{value.__module__}.'.startswith(f'{package}.')
        and dataclasses.is_dataclass(value)
        and not inspect.isabstract(value)
        and not value.__name__.startswith('_')
    )


def kinds_of(hint: Any) -> tuple[Kind, ...]:
    """The kinds of parts that a field with the annotation `hint` takes; none for plain values.

    A class stands for the kind in whose package it is, or its subclasses are; what says nothing,
    such as `Any` or a class of a user's, for all of them.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        marks = tuple(mark for mark in arguments[1:] if isinstance(mark, Kind))
        of_values = any(hasattr(mark, 'accepts') for mark in arguments[1:])  # of jssl.checks
        return marks if marks or of_values else kinds_of(arguments[0])
    if origin in UNIONS:
        return tuple(dict.fromkeys(kind for option in arguments for kind in kinds_of(option)))
    if origin in CONTAINERS or hint in CONTAINERS:
        return ()
    if inspect.isclass(hint) and issubclass(hint, str | bytes | int | float | types.NoneType):
        return ()
    kind: Any = hint
    return _of_class(kind) if inspect.isclass(hint) else tuple(KINDS.values())


@functools.cache
def _of_class(base: Any) -> tuple[Kind, ...]:
    kinds = tuple(KINDS.values())
    home = [kind for kind in kinds if f'{base.__module__}.'.startswith(f'{kind.package}.')]
    with_subclasses = home or [
        kind
        for kind in kinds
        if base is not object and any(_extends(found, base) for found in classes_of(kind).values())
    ]
    return tuple(with_subclasses) or kinds


def _extends(found: type, base: type) -> bool:
    try:
        return issubclass(found, base)
    except TypeError:  # a protocol with attributes
        return False


def inside(hint: Any, key: str | int) -> Any:
    """The annotation of what is in a list, tuple or mapping annotated as `hint`.

    Args:
      hint: `Any` says nothing.
      key: of a mapping, or the number of an entry, as a text too.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return inside(arguments[0], key)
    if origin in UNIONS:
        fitting = [option for option in arguments if inside(option, key) is not Any]
        return inside(fitting[0], key) if fitting else Any
    if origin in (dict, Mapping) and arguments:
        return arguments[1] if isinstance(key, str) else Any
    if not str(key).isdecimal() or origin not in CONTAINERS or origin is Literal:
        return Any
    if origin is tuple and Ellipsis not in arguments:
        return arguments[int(key)] if int(key) < len(arguments) else Any
    return arguments[0]
