"""Whether the values of a config fit the annotations of their fields, and both in words."""

import dataclasses
import inspect
import shlex
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import flax.linen as nn

from jssl.checks import check_value, constrained
from jssl.errors import JsslError, show, suggest
from jssl.kinds import UNIONS, VIEW, Kind, is_plain

# A list as a user may type it, by what is in it.
SAMPLES = {int: (60, 80, 100, 120), float: (0.5, 1.0, 1.5, 2.0), str: ('a', 'b', 'c', 'd')}
SEVERAL = {int: 'whole numbers', float: 'numbers', str: 'texts'}
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def fields_of(component: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a config can set of a class or function: the arguments that it is called with, by name.

    Raises:
      JsslError: it does not say.
    """
    own = ('parent', 'name') if _is_module(component) else getattr(component, 'UNSET', ())
    try:
        parameters = inspect.signature(component).parameters
    except (TypeError, ValueError) as error:
        raise JsslError(
            f'{component.__name__} does not say what it is built with; name a dataclass, a Flax '
            'module or a function that makes one.'
        ) from error
    return {k: v for k, v in parameters.items() if k not in own and v.kind in NAMED}


def hints_of(component: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of what a component is built with; empty where they cannot be resolved.

    They are whole, `typing.Annotated` with what it demands included.
    """
    plain_class = inspect.isclass(component) and not dataclasses.is_dataclass(component)
    # of a plain class, the arguments with which it is made
    annotated: Any = vars(component).get('__init__', component) if plain_class else component
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except (NameError, AttributeError, TypeError):  # a user's, imported for type checkers alone
        return {}


def check_names(path: str, component: Callable[..., Any], fields: Mapping[str, Any]) -> None:
    """Raises a `JsslError` for a field that `component` does not have, or lacks."""
    valid = fields_of(component)
    for name in fields:
        if name not in valid:
            raise JsslError(
                f'config.{join(path, name)} is not a field of {component.__name__}. '
                f'{suggest(str(name), valid)}'
            )
    missing = [name for name in valid if valid[name].default is inspect.Parameter.empty]
    missing = [name for name in missing if name not in fields]
    if missing:
        hint = hints_of(component).get(missing[0], Any)
        raise JsslError(
            f'config.{path} lacks {", ".join(missing)}, which {component.__name__} needs; '
            f'add {_setting(join(path, missing[0]), hint)} or '
            f'write {missing[0]}=... in the config.'
        )


def check_types(path: str, component: Callable[..., Any], fields: Mapping[str, Any]) -> None:
    """Raises a `JsslError` for a value whose type is not that of its field."""
    hints = hints_of(component)
    ranges = constrained(component) if hints and dataclasses.is_dataclass(component) else {}
    for name, value in fields.items():
        hint, place = hints.get(name, Any), join(path, name)
        if not matches(value, hint):
            remedy = f'; add {type_option(place, value)}' if is_part(hint) else ''
            default = fields_of(component)[name].default
            if sample := _sample(hint, default):
                remedy = f', such as {sample}'
            if _has_words(hint) and isinstance(value, str):
                raise JsslError(f'config.{place}={show(value)} must be {wanted(hint)}{remedy}.')
            raise JsslError(
                f'config.{place}={show(value)} has type {type(value).__name__}, but '
                f'{component.__name__} expects {wanted(hint)}{remedy}.'
            )
        _check_stand_in(place, component, value, hint)
        if name in ranges:
            check_value(f'config.{place}', value, ranges[name])


def _has_words(hint: Any) -> bool:
    """Whether a field takes one of some words."""
    options = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
    return any(typing.get_origin(option) is Literal for option in options)


def _check_stand_in(place: str, component: Callable[..., Any], value: Any, hint: Any) -> None:
    """Refuses a part of jssl in the place of one whose fields it lacks; users' own may stand there.

    So may any view: policies call it, whatever its fields are.

    Raises:
      JsslError: names the class that the field is for.
    """
    options = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
    wanted_classes = [option for option in options if inspect.isclass(option) and is_part(option)]
    module = type(value).__module__
    if not wanted_classes or not module.startswith('jssl.') or module.startswith(VIEW.package):
        return
    has = _field_names(type(value))
    if not any(_field_names(option) <= has for option in wanted_classes):
        name = wanted_classes[0].__name__
        raise JsslError(
            f'config.{place} is a {type(value).__name__}, but {component.__name__} expects a '
            f'{name}; add {type_option(place, name)}.'
        )


def _field_names(component: type) -> set[str]:
    return set(getattr(component, '__dataclass_fields__', ()))


def matches(value: Any, hint: Any) -> bool:
    """Whether `value` fits a plain annotation; annotations richer than that always fit."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if is_part(hint):
        return not is_plain(value)  # any object may stand in for a component
    if origin is Annotated:
        return matches(value, options[0])
    if origin in UNIONS:
        return any(matches(value, option) for option in options)
    if origin is Literal:
        return value in options
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    if origin in (tuple, Sequence):
        return isinstance(value, tuple | list) and _all_match(value, origin, options)
    if origin in (Mapping, dict) and len(options) == 2:
        return isinstance(value, Mapping) and all(matches(v, options[1]) for v in value.values())
    return not inspect.isclass(origin) or isinstance(value, origin)


def _all_match(values: Sequence[Any], origin: Any, hints: tuple[Any, ...]) -> bool:
    if origin is Sequence or hints[1:] == (Ellipsis,):
        return all(matches(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(map(matches, values, hints))


def is_part(hint: Any) -> bool:
    """Whether an annotation asks for a component and nothing else."""
    if typing.get_origin(hint) is Annotated:
        return any(isinstance(mark, Kind) for mark in typing.get_args(hint)[1:])
    return inspect.isclass(hint) and (dataclasses.is_dataclass(hint) or _is_module(hint))


def _is_module(component: Any) -> bool:
    return inspect.isclass(component) and issubclass(component, nn.Module)


def wanted(hint: Any) -> str:
    """An annotation as a user knows it, whatever library its classes are from."""
    options = typing.get_args(hint)
    if is_part(hint):
        return 'dict(type=...)'
    if typing.get_origin(hint) is Annotated:
        return wanted(options[0])
    if typing.get_origin(hint) is Literal:
        return f'one of {", ".join(map(repr, options))}'
    if typing.get_origin(hint) in UNIONS:
        return ' or '.join(dict.fromkeys(map(wanted, options)))
    if typing.get_origin(hint) in (tuple, Sequence):
        repeated = Ellipsis in options or typing.get_origin(hint) is Sequence
        several = SEVERAL.get(plain(options[0]), f'values, each {wanted(options[0])}')
        return f'a list of {several}' if repeated else f'a list of {len(options)} {several}'
    if typing.get_origin(hint) in (Mapping, dict) or hint in (Mapping, dict):
        return 'dict(...)'
    if hint is Any:
        return 'any value'
    return 'None' if hint is type(None) else getattr(hint, '__name__', 'dict(type=...)')


def plain(hint: Any) -> Any:
    """An annotation without what `typing.Annotated` adds to it."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _setting(place: str, hint: Any) -> str:
    """The argument that sets a field, with a value of the right form where one is known."""
    if is_part(hint):
        return type_option(place, None)
    return shlex.quote(f'--config.{place}={_sample(hint) or "VALUE"}')


def _sample(hint: Any, default: Any = None) -> str | None:
    """A list that a field takes: its default, if that is one; None where it takes no lists."""
    known = default if isinstance(default, tuple | list) else ()
    if known and all(isinstance(value, int | float | str) for value in known):
        return repr(list(default))
    for option in (hint, *typing.get_args(hint)):
        if typing.get_origin(option) in (tuple, Sequence):
            parts = typing.get_args(option)
            length = 2 if Ellipsis in parts or len(parts) == 1 else len(parts)
            sample = SAMPLES.get(plain(parts[0]), ())[:length]
            return repr(list(sample)) if sample else None
    return None


def type_option(path: str, value: Any) -> str:
    """The argument that names a component's type, where only a name was given."""
    name = value if isinstance(value, str) and value.isidentifier() else 'NAME'
    return f'--config.{path}.type={name}'


def join(path: str, name: str | int) -> str:
    """The dotted name of a field of what `path` names."""
    return f'{path}.{name}' if path else str(name)
