"""From an object to the ``dict(type='ResNet', depth=50, ...)`` that builds it again, for files."""

import dataclasses
import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn

from jssl.errors import JsslError
from jssl.runs.record import recordable

HOUSE = 'jssl.'


def config_of(component: Any) -> dict[str, Any] | None:
    """The section of a config that describes an object, all its fields with it.

    Args:
      component: a dataclass that was made, such as a Flax module, with plain values and other such
        objects in its fields.

    Returns:
      What JSON holds; None for anything else, such as a function or a network with one in a field.
      A class of the user's own is named as ``'module:Class'``.

    Examples:
      >>> from jssl.augment.views import CenterView
      >>> config_of(CenterView(size=32, resize=32))['type']
      'CenterView'
    """
    if not dataclasses.is_dataclass(component) or isinstance(component, type):
        return None
    try:
        return _config_of(component)
    except JsslError:  # a field holds what no config can say
        return None


def _config_of(component: Any) -> dict[str, Any]:
    kind = type(component)
    own = _linens(component)
    names = [field.name for field in dataclasses.fields(component) if field.init]
    place = f'{kind.__module__}:{kind.__qualname__}'
    fields = {name: _value(getattr(component, name)) for name in names if name not in own}
    return {'type': kind.__name__ if place.startswith(HOUSE) else place} | fields


def _value(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _config_of(value)
    if isinstance(value, Mapping):
        return {str(key): _value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_value(part) for part in value]
    return recordable(value)


def words_of(value: Any) -> str:
    """How Python would write a setting, without addresses and without fields at their defaults.

    A run is known by it: one that goes on where a class has a field more is the same run.

    Example:
      >>> from jssl.augment.views import CenterView
      >>> words_of([CenterView(size=32), 1.5])
      '[CenterView(size=32), 1.5]'
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = ', '.join(f'{name}={words}' for name, words in _given(value))
        return f'{type(value).__qualname__}({given})'
    if isinstance(value, functools.partial):
        named = [f'{name}={words_of(part)}' for name, part in value.keywords.items()]
        return f'partial({", ".join([*map(words_of, (value.func, *value.args)), *named])})'
    if isinstance(value, Mapping):
        return f'{{{", ".join(f"{key!r}: {words_of(part)}" for key, part in value.items())}}}'
    if isinstance(value, list | tuple):
        words = ', '.join(map(words_of, value))
        return f'[{words}]' if isinstance(value, list) else f'({words},)'
    if callable(value) and not isinstance(value, type) and hasattr(value, '__qualname__'):
        return f'<function {value.__qualname__}>'  # also of JAX's, which have none in their repr
    return re.sub(r' at 0x\w+', '', repr(value))


def _given(component: Any) -> Iterator[tuple[str, str]]:
    """The fields of a dataclass that are not at their defaults, in words."""
    for field in dataclasses.fields(component):
        make: Any = field.default_factory
        default = field.default if make is dataclasses.MISSING else make()
        if field.repr and field.init and field.name not in _linens(component):
            words = words_of(getattr(component, field.name))
            if words != words_of(default):
                yield field.name, words


def _linens(component: Any) -> tuple[str, ...]:
    """The fields that are Linen's, not settings."""
    return ('parent', 'name') if isinstance(component, nn.Module) else ()


def describe(
    backbone: nn.Module | None, view: Any, canvas: int, channels: int, **facts: Any
) -> dict[str, str]:
    """What is to stand in a file, so that `jssl.load` needs the file alone.

    Args:
      backbone: whose weights they are; None where there is none.
      view: how images are prepared, such as `CenterView`.
      canvas: side in pixels of the square that larger images are shrunk to before.
      channels: of the images.
      facts: whatever else is known, such as the algorithm and the steps trained; None is left out.
    """
    sections = {'backbone': config_of(backbone), 'eval_view': config_of(view)}
    given = sections | {'canvas': canvas, 'channels': channels} | facts
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }
