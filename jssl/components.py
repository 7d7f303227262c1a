"""From ``dict(type='ResNet', depth=50)`` to the object it describes.

A `type` is the name of a class in the package for its kind, or ``'my_module:MyClass'``: nothing has
to be registered. The other entries are the class's fields; what is itself such a dict (a backbone
in a model, the views in a tuple) is built first. Its kind is that of its field's annotation, see
`jssl.kinds`.
"""

import functools
import importlib
import inspect
import os
import shlex
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from jssl.errors import JsslError, in_words, show, suggest
from jssl.kinds import DATA, KINDS, Kind, classes_of, inside, kinds_of
from jssl.values import check_names, check_types, hints_of, join, type_option


def build(kind: str, config: Mapping[str, Any]) -> Any:
    """The component that `config` describes.

    Args:
      kind: a key of `jssl.kinds.KINDS`; says where a bare class name is looked up.
      config: `type` and the fields of that class.

    Raises:
      JsslError: names the unknown type or field with its nearest valid name, a field whose value
        has the wrong type, or a required field that is missing.
    """
    return build_at(kind, Annotated[Any, KINDS[kind]], config)


def build_at(path: str, hint: Any, config: Mapping[str, Any]) -> Any:
    """The component that a field with the annotation `hint` takes.

    Args:
      path: what error messages call this part of the config.
      hint: of the field, such as `jssl.kinds.Backbone`.
      config: as for `build`.
    """
    return make(path, prepare(path, hint, config))


def prepare(path: str, hint: Any, config: Mapping[str, Any]) -> functools.partial[Any]:
    """The class, or function, and its fields, checked, with the parts among them built."""
    if not isinstance(config, Mapping) or 'type' not in config:
        short = isinstance(config, str) and ':' in config and DATA in kinds_of(hint)
        option = shlex.quote(f'--{path}={config}') if short else type_option(path, config)
        raise JsslError(
            f"config.{path} must be a dict with a 'type', not {show(config)}; write it as "
            f'dict(type=...), or add {option}.'
        )
    component = find(path, hint, config['type'])
    fields = {key: value for key, value in config.items() if key != 'type'}
    check_names(path, component, fields)
    hints = hints_of(component)
    for key, value in fields.items():
        fields[key] = _built(join(path, key), hints.get(key, Any), value)
    check_types(path, component, fields)
    return functools.partial(component, **fields)


def make(path: str, prepared: functools.partial[Any]) -> Any:
    """The component; what it objects to is told with its place in the config."""
    try:
        return prepared()
    except Exception as error:
        said = in_words(error)
        raise JsslError(said if said.startswith('config.') else f'config.{path}: {said}') from error


def _built(path: str, hint: Any, value: Any) -> Any:
    """`value` with the parts in the place of their descriptions, wherever in it they stand."""
    if describes_part(hint, value):
        return build_at(path, hint, value)
    if isinstance(value, Mapping):
        parts = {k: _built(join(path, k), inside(hint, k), inner) for k, inner in value.items()}
        return parts if any(parts[key] is not value[key] for key in parts) else value
    if isinstance(value, tuple | list):
        several = [_built(join(path, i), inside(hint, i), v) for i, v in enumerate(value)]
        changed = any(new is not old for new, old in zip(several, value, strict=True))
        return type(value)(several) if changed else value
    return value


def describes_part(hint: Any, value: Any) -> bool:
    """Whether `value` is the description of a part, in a field that takes parts."""
    return isinstance(value, Mapping) and 'type' in value and bool(kinds_of(hint))


def find(path: str, hint: Any, name: Any) -> Callable[..., Any]:
    """The class called `name`: 'module:Class' in any field, or one of the kinds that `hint` takes.

    A function that makes a part may be named as a class is, ``'optax:adamw'``. What a file names
    has passed `jssl.foreign` before it comes here.

    Raises:
      JsslError: there is none; names the nearest.
    """
    if isinstance(name, str) and ':' in name:
        return _import(path, name)
    kinds = kinds_of(hint)
    known = {key: value for kind in kinds for key, value in classes_of(kind).items()}
    if not isinstance(name, str) or name not in known:
        raise JsslError(
            f'config.{path}.type={name!r} is not known. {_suggest(name, known, kinds)} '
            f"A class of your own is named as 'my_module:MyClass'."
        )
    return known[name]


def _suggest(name: Any, known: Iterable[str], kinds: Iterable[Kind]) -> str:
    """Which of the `known` names was meant, or that it is one of another kind."""
    for kind in KINDS.values():
        if kind not in kinds and isinstance(name, str) and name in classes_of(kind):
            own = f'It is a {kind.words}; where one is to stand here, name {kind.package}:{name}.'
            return f'{own} {suggest(name, known)}'
    return suggest(str(name), known)


def _import(path: str, name: str) -> Callable[..., Any]:
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
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        raise JsslError(
            f'config.{path}.type={name!r} names a {type(found).__name__}; name a class, or a '
            'function that makes the part.'
        )
    return found


def _no_class(path: str, name: str, module: types.ModuleType) -> JsslError:
    """The error for a class that its module does not have, with those that it has."""
    place, _, attribute = name.partition(':')
    own = [key for key, value in vars(module).items() if _is_of(value, module)]
    remedy = suggest(attribute, own) if own else 'It has no classes.'
    return JsslError(
        f'config.{path}.type={name!r}: the module {place!r} has no {attribute!r}. {remedy} Write '
        "it as 'module:Class'."
    )


def _is_of(value: Any, module: types.ModuleType) -> bool:
    place = f'{module.__name__}.'  # of a package, what it takes from its modules too
    public = inspect.isclass(value) or inspect.isfunction(value)
    return public and f'{value.__module__}.'.startswith(place)
