"""From ``dict(type='ResNet', depth=50)`` to the object it describes.

A `type` is the name of a class in the package for its kind, or ``'my_module:MyClass'``: nothing has
to be registered. The other entries are the class's fields; an entry that is itself such a dict
(a backbone in a model, a predictor in a head) is built first.
"""

import dataclasses
import importlib
import inspect
import os
import shlex
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn

from jssl.checks import check_value, constrained
from jssl.errors import JsslError, in_words, show, suggest

PACKAGES = {
    'model': 'jssl.algorithms',
    'backbone': 'jssl.backbones',
    'neck': 'jssl.necks',
    'predictor': 'jssl.necks',
    'head': 'jssl.heads',
    'loss': 'jssl.losses',
    'target_generator': 'jssl.target_generators',
    'memory_bank': 'jssl.memories',
    'data': 'jssl.data.sources',
    'test_data': 'jssl.data.sources',
    'probe_data': 'jssl.data.sources',
    'sampler': 'jssl.data.loading.samplers',
    'views': 'jssl.augment.views',
    'view': 'jssl.augment.views',
    'first': 'jssl.augment.views',
    'second': 'jssl.augment.views',
    'large': 'jssl.augment.views',
    'small': 'jssl.augment.views',
    'eval_view': 'jssl.augment.views',
    'optimizer': 'jssl.optim.optimizers',
    'schedule': 'jssl.optim.schedules',
}
# A list as a user may type it, by what is in it.
SAMPLES = {int: (60, 80, 100, 120), float: (0.5, 1.0, 1.5, 2.0), str: ('a', 'b', 'c', 'd')}
SEVERAL = {int: 'whole numbers', float: 'numbers', str: 'texts'}
PLAIN = (str, int, float, Mapping, tuple, list, type(None))


def build(kind: str, config: Mapping[str, Any]) -> Any:
    """The component that `config` describes.

    Args:
      kind: a key of `PACKAGES`; says where a bare class name is looked up.
      config: `type` and the fields of that class.

    Raises:
      JsslError: names the unknown type or field with its nearest valid name, a field whose value
        has the wrong type, or a required field that is missing.
    """
    return build_at(kind, kind, config)


def build_at(path: str, kind: str, config: Mapping[str, Any]) -> Any:
    """As `build`; `path` is what error messages call this part of the config."""
    if not isinstance(config, Mapping) or 'type' not in config:
        raise JsslError(
            f"config.{path} must be a dict with a 'type', not {show(config)}; write it as "
            f'dict(type=...), or add {_type_of(path, config)}.'
        )
    component = find(path, kind, config['type'])
    fields = {key: value for key, value in config.items() if key != 'type'}
    check_names(path, component, fields)
    for key, value in fields.items():
        if isinstance(value, Mapping) and 'type' in value and key in PACKAGES:
            fields[key] = build_at(f'{path}.{key}', key, value)
    check_types(path, component, fields)
    try:
        return component(**fields)
    except Exception as error:  # a class knows its fields, and not where in a config it stands
        said = in_words(error)
        raise JsslError(said if said.startswith('config.') else f'config.{path}: {said}') from error


def find(path: str, kind: str, name: str) -> type:
    """The class called `name`: 'module:Class' anywhere, or a class of the kind's package.

    What a file names has passed `jssl.foreign` before it comes here.
    """
    if isinstance(name, str) and ':' in name:
        return _import(path, name)
    classes = classes_of(kind)
    if not isinstance(name, str) or name not in classes:
        raise JsslError(
            f'config.{path}.type={name!r} is not known. {suggest(str(name), classes)} '
            f"A class of your own is named as 'my_module:MyClass'."
        )
    return classes[name]


def classes_of(kind: str) -> dict[str, type]:
    """The classes of jssl that a config can name for `kind`, a key of `PACKAGES`."""
    package = PACKAGES[kind]
    found = vars(importlib.import_module(package))
    return {key: value for key, value in found.items() if _is_component(value, package)}


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


def _import(path: str, name: str) -> type:
    module_name, _, attribute = name.partition(':')
    if os.getcwd() not in sys.path and '' not in sys.path:
        sys.path.insert(0, os.getcwd())  # a user's module lies where the command is run
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, attribute, None)
    except Exception as error:  # the module is a program of the user's
        raise JsslError(
            f'config.{path}.type={name!r} could not be imported: {type(error).__name__}: {error}. '
            "Write it as 'module:Class' with the module on the Python path or in the current "
            'folder.'
        ) from error
    if found is None:
        raise _no_class(path, name, module)
    if not inspect.isclass(found):
        raise JsslError(
            f'config.{path}.type={name!r} names a {type(found).__name__}; name a class.'
        )
    return found


def _no_class(path: str, name: str, module: types.ModuleType) -> JsslError:
    """The error for a class that its module does not have, with those that it has."""
    place, _, attribute = name.partition(':')
    own = [key for key, value in vars(module).items() if _is_class_of(value, module)]
    remedy = suggest(attribute, own) if own else 'It has no classes.'
    return JsslError(
        f'config.{path}.type={name!r}: the module {place!r} has no {attribute!r}. {remedy} Write '
        "it as 'module:Class'."
    )


def _is_class_of(value: Any, module: types.ModuleType) -> bool:
    place = f'{module.__name__}.'  # of a package, what it takes from its modules too
    return inspect.isclass(value) and f'{value.__module__}.'.startswith(place)


def fields_of(component: type) -> dict[str, inspect.Parameter]:
    """What a config can set of a class: the arguments that it is built with, by name."""
    own = ('parent', 'name') if issubclass(component, nn.Module) else ()  # Linen's, not settings
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        parameters = inspect.signature(component).parameters
    except (TypeError, ValueError) as error:
        raise JsslError(
            f'{component.__name__} does not say what it is built with; name a dataclass or a Flax '
            'module.'
        ) from error
    return {k: v for k, v in parameters.items() if k not in own and v.kind in named}


def hints_of(component: type) -> dict[str, Any]:
    """The annotations of the fields of a dataclass; empty where they cannot be resolved."""
    try:
        return typing.get_type_hints(component) if dataclasses.is_dataclass(component) else {}
    except (NameError, AttributeError, TypeError):  # a user's, imported for type checkers alone
        return {}


def check_names(path: str, component: type, fields: Mapping[str, Any]) -> None:
    """Raises a `JsslError` for a field that `component` does not have, or lacks."""
    valid = fields_of(component)
    for name in fields:
        if name not in valid:
            raise JsslError(
                f'config.{_join(path, name)} is not a field of {component.__name__}. '
                f'{suggest(str(name), valid)}'
            )
    missing = [name for name in valid if valid[name].default is inspect.Parameter.empty]
    missing = [name for name in missing if name not in fields]
    if missing:
        raise JsslError(
            f'config.{path} lacks {", ".join(missing)}, which {component.__name__} needs; '
            f'add {_setting(_join(path, missing[0]), hints_of(component).get(missing[0], Any))} or '
            f'write {missing[0]}=... in the config.'
        )


def _setting(place: str, hint: Any) -> str:
    """The argument that sets a field, with a value of the right form where one is known."""
    if _is_part(hint):
        return _type_of(place, None)
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
            sample = SAMPLES.get(parts[0], ())[:length]
            return repr(list(sample)) if sample else None
    return None


def check_types(path: str, component: type, fields: Mapping[str, Any]) -> None:
    """Raises a `JsslError` for a value whose type is not that of its field."""
    hints = hints_of(component)
    ranges = constrained(component) if hints else {}
    for name, value in fields.items():
        if not _matches(value, hints.get(name, Any)):
            place = _join(path, name)
            remedy = f'; add {_type_of(place, value)}' if _is_part(hints[name]) else ''
            default = fields_of(component)[name].default
            if sample := _sample(hints[name], default):
                remedy = f', such as {sample}'
            raise JsslError(
                f'config.{place}={show(value)} has type {type(value).__name__}, but '
                f'{component.__name__} expects {_in_words(hints[name])}{remedy}.'
            )
        if name in ranges:
            check_value(f'config.{_join(path, name)}', value, ranges[name])


def _type_of(path: str, value: Any) -> str:
    """The argument that names a component's type, where only a name was given."""
    name = value if isinstance(value, str) and value.isidentifier() else 'NAME'
    return f'--config.{path}.type={name}'


def _in_words(hint: Any) -> str:
    """An annotation as a user knows it, whatever library its classes are from."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return ' or '.join(map(_in_words, options))
    if typing.get_origin(hint) in (tuple, Sequence):
        repeated = Ellipsis in options or typing.get_origin(hint) is Sequence
        several = SEVERAL.get(options[0], f'values, each {_in_words(options[0])}')
        return f'a list of {several}' if repeated else f'a list of {len(options)} {several}'
    if typing.get_origin(hint) is Mapping or hint is Mapping:
        return 'dict(...)'
    if _is_part(hint):
        return 'dict(type=...)'
    return 'None' if hint is type(None) else getattr(hint, '__name__', str(hint))


def _is_part(hint: Any) -> bool:
    return inspect.isclass(hint) and (dataclasses.is_dataclass(hint) or issubclass(hint, nn.Module))


def _join(path: str, name: str) -> str:
    return f'{path}.{name}' if path else name


def _matches(value: Any, hint: Any) -> bool:
    """Whether `value` fits a plain annotation; annotations richer than that always fit."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_matches(value, option) for option in options)
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
    if _is_part(hint):
        return not isinstance(value, PLAIN)  # any object may stand in for a component
    return not inspect.isclass(origin) or isinstance(value, origin)


def _all_match(values: Sequence[Any], origin: Any, hints: tuple[Any, ...]) -> bool:
    if origin is Sequence or hints[1:] == (Ellipsis,):
        return all(_matches(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(map(_matches, values, hints))
