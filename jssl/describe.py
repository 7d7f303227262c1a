"""The fields of a config: what each is called, holds, takes and means."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from jssl.components import find
from jssl.config import SECTIONS, TOP, fields_at, hint_at
from jssl.kinds import KINDS, UNIONS, Kind, classes_of, kinds_of
from jssl.training.experiment import Experiment
from jssl.training.settings import Runtime
from jssl.values import fields_of, wanted

SECTION = re.compile(r'^(?:Attributes|Args):\n((?:  .*\n|\n)+)', re.MULTILINE)
ENTRY = re.compile(r'^  (\w[\w, *]*)(?: \(.*?\))?:\s+(.*(?:\n    .*)*)', re.MULTILINE)
INHERIT = 'Names of parts, such as model.backbone, that are taken over from the run in pretrained.'

WORDS = {bool: 'True or False', str: 'a text'}


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a config.

    Attributes:
      name: its path, such as ``'optimizer.lr'``, which ``--config.optimizer.lr=`` sets.
      value: what the config gives it, or else its default.
      takes: what may be given, in words.
      meaning: in a sentence or two; empty where the class does not say.
    """

    name: str
    value: Any
    takes: str
    meaning: str


def describe_config(config: Mapping[str, Any]) -> list[Field]:
    """Every field that a config has or may set, those of its parts included.

    Args:
      config: nested dicts, as a config's file gives them.

    Raises:
      JsslError: a type in it is not known.
    """
    meanings = meanings_of(Experiment) | meanings_of(Runtime) | {'inherit': INHERIT}
    meanings['model'] = meanings['algorithm']
    found: list[Field] = []
    for name in TOP:
        value = config.get(name, {} if name in SECTIONS else _default(Runtime, name))
        found += _described(config, (name,), value, meanings[name])
    return found


def _described(
    config: Mapping[str, Any], path: tuple[str, ...], value: Any, meaning: str
) -> Iterator[Field]:
    """The field at `path`, or those inside it."""
    hint, name = hint_at(config, path), '.'.join(path)
    inner = fields_at(config, path) if isinstance(value, Mapping) else None
    if inner is None or ('type' not in value and name not in SECTIONS):
        yield Field(name, value, takes(hint), meaning)
        return
    component: Callable[..., Any] = SECTIONS.get(name) or find(name, hint, value['type'])
    if 'type' in value:
        summary = (inspect.getdoc(component) or '').partition('\n\n')[0]
        yield Field(f'{name}.type', value['type'], _names(hint), ' '.join(summary.split()))
    meanings = meanings_of(component)
    for key in fields_of(component):
        given = value.get(key, _default(component, key))
        yield from _described(config, (*path, key), given, meanings.get(key, ''))


def _default(component: Callable[..., Any], name: str) -> Any:
    """The default of a field; None where it has none."""
    made = {}
    if dataclasses.is_dataclass(component):
        factories = {field.name: field.default_factory for field in dataclasses.fields(component)}
        made = {key: make() for key, make in factories.items() if make is not dataclasses.MISSING}
    parameter = fields_of(component).get(name)
    default = None if parameter is None else parameter.default
    return made.get(name, None if default is inspect.Parameter.empty else default)


def takes(hint: Any) -> str:
    """What a field with an annotation takes, in words: a range, names of classes, a form."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in UNIONS:
        return ' or '.join(dict.fromkeys(map(takes, arguments)))
    if 0 < len(kinds_of(hint)) < len(KINDS):
        return f'dict(type=...) with a type of {_names(hint)}'
    if typing.get_origin(hint) is Annotated:
        marks = [mark for mark in arguments[1:] if not isinstance(mark, Kind)]
        return ' and '.join(str(mark.describe(None)) for mark in marks) or wanted(hint)
    return WORDS.get(hint) or wanted(hint)


def _names(hint: Any) -> str:
    """The classes that a field takes."""
    names = [name for kind in kinds_of(hint) for name in classes_of(kind)]
    return ', '.join([*names, 'module:Class'])


def meanings_of(component: Callable[..., Any]) -> dict[str, str]:
    """What the fields of a class, or arguments of a function, mean.

    They are read from the docstrings, those of the bases included: from `Attributes` or `Args`.
    """
    found: dict[str, str] = {}
    for part in reversed(inspect.getmro(component)) if inspect.isclass(component) else [component]:
        page = inspect.cleandoc(part.__doc__ or '') + '\n'
        for section in SECTION.findall(page):
            for names, text in ENTRY.findall(section):
                for name in names.replace('*', '').split(', '):
                    if not (name in found and text.startswith('see ')):  # the base says it
                        found[name] = ' '.join(text.split())
    return found
