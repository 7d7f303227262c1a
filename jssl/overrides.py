"""Fields of a config that the command line sets, such as ``--config.optimizer.lr=0.1``.

A path names a field of any component, of a section that the config leaves out too. A `type` is set
before the fields beside it, and what only the type before it had goes. A value is a Python literal,
``dict(type='Folder', path='photos')`` included; strings need no quotes.
"""

import dataclasses
import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jssl.components import PACKAGES, classes_of, fields_of, find, hints_of
from jssl.config import COMPONENTS, NUMBERS
from jssl.errors import JsslError, suggest
from jssl.literals import OPENING, read_as
from jssl.training.settings import Runtime

ARGUMENT = re.compile(r'--?(no)?config\.([^=]*)(?:=(.*))?', re.DOTALL)
TOP: dict[str, Any] = dict.fromkeys(COMPONENTS, Any) | dict.fromkeys(NUMBERS, int)
TOP |= {'pretrained': str | None, 'inherit': tuple[str, ...]}
SECTIONS: dict[str, type] = {
    name: hint
    for name, hint in hints_of(Runtime).items()
    if isinstance(hint, type) and dataclasses.is_dataclass(hint)
}


@dataclasses.dataclass(frozen=True)
class Override:
    """One argument.

    Attributes:
      path: of the field, such as ``('optimizer', 'lr')``.
      text: what stands behind the equals sign.
    """

    path: tuple[str, ...]
    text: str

    @property
    def field(self) -> str:
        """What messages call the field."""
        return '.'.join(('config', *self.path))

    @property
    def value(self) -> Any:
        """What it stands for where nothing is known of the field."""
        try:
            return read_as(self.text, Any)
        except ValueError:
            return self.text

    def read(self, hint: Any) -> Any:
        """What it stands for in a field with the annotation `hint`.

        Raises:
          JsslError: it begins like a tuple, list or dict and is none.
        """
        try:
            return read_as(self.text, hint)
        except ValueError as error:
            raise JsslError(
                f'{self.field}={self.text} cannot be read: {error}. Write values as in Python, for '
                """example '--config.data=dict(type="Folder", path="photos")'."""
            ) from error

    @property
    def is_section(self) -> bool:
        """Whether it says what a section is, and so comes before the fields in it."""
        whole = self.text.lstrip().startswith(OPENING[:2]) or self.text.strip() == 'None'
        return self.path[-1] == 'type' or whole

    @property
    def depth(self) -> int:
        """How far down the section is that it says something about."""
        return len(self.path) - (self.path[-1] == 'type')


def split(arguments: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The overrides among the arguments of a command line, and the other arguments.

    Raises:
      JsslError: one is written in another way; says how.
    """
    matches = [ARGUMENT.fullmatch(argument) for argument in arguments]
    rest = [argument for argument, match in zip(arguments, matches, strict=True) if match is None]
    overrides = []
    for position, match in enumerate(matches):
        if match is None:
            continue
        negated, path, text = match.groups()
        if text is None or negated:
            following = arguments[position + 1 : position + 2]
            value = following[0] if following and not following[0].startswith('-') else 'VALUE'
            written = shlex.quote(f'--config.{path}={"False" if negated else value}')
            raise JsslError(f'{arguments[position]} has no value; write {written}.')
        if not all(path.split('.')):
            raise JsslError(
                f'{arguments[position]} names no field; write it as --config.optimizer.lr=0.1.'
            )
        overrides.append(Override(tuple(path.split('.')), text))
    return overrides, rest


def apply(config: dict[str, Any], overrides: Iterable[Override]) -> None:
    """Sets fields of `config`, nested dicts, in place: sections from the outside in, then fields.

    Raises:
      JsslError: there is no such field, type or section; names the right one.
    """
    ordered = sorted(overrides, key=lambda o: (0, o.depth) if o.is_section else (1, 0))
    for override in ordered:
        section = config
        for depth, key in enumerate(override.path[:-1]):
            section = _enter(config, section, override, depth, key)
        _check_key(config, section, override, len(override.path) - 1)
        _set(section, override)


def _enter(
    config: dict[str, Any], section: dict[str, Any], override: Override, depth: int, key: str
) -> dict[str, Any]:
    """The section `key` of `section`; an empty one if it is not there yet."""
    _check_key(config, section, override, depth)
    inner = section.get(key)
    if inner is None:
        inner = section[key] = {}
    if not isinstance(inner, dict):
        where = '.'.join(('config', *override.path[: depth + 1]))
        raise JsslError(
            f'{override.field}: {where}={inner!r} has no fields. Write {where}=... to replace it.'
        )
    return inner


def _check_key(
    config: Mapping[str, Any], section: Mapping[str, Any], override: Override, depth: int
) -> None:
    """Refuses a key that the section cannot have, and names the one that was meant."""
    path, key = override.path[:depth], override.path[depth]
    valid = _keys(section, path)
    if valid is None or key in valid:
        return
    if path and path[-1] in PACKAGES and 'type' not in section:
        where = '.'.join(('config', *path))
        raise JsslError(
            f'{override.field}: {where} has no type yet; add --{where}.type=NAME with one of '
            f'{", ".join(classes_of(path[-1]))}.'
        )
    what = f'a field of {section["type"]}' if 'type' in section else 'a key of a config'
    field = '.'.join(('config', *override.path[: depth + 1]))
    raise JsslError(f'{field} is not {what}. {advise(config, key, override.text, valid)}')


def advise(config: Mapping[str, Any], key: str, text: str | None, valid: Iterable[str] = ()) -> str:
    """Which field of a config, or of the section whose keys are `valid`, `key` stands for."""
    places = _places(config, ())
    close = difflib.get_close_matches(key, () if valid else places, n=1, cutoff=0.7)
    found = places.get(key) or (places[close[0]] if close else [])
    if key in PACKAGES or not found:
        return suggest(key, valid or _keys(config, ()) or ())
    value = 'VALUE' if text is None else text
    written = [shlex.quote(f'--{path}={value}') for path in found[:3]]
    return f'Did you mean {" or ".join(written)}?'


def _places(section: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, list[str]]:
    """The paths of all fields of a config, by what they are called."""
    found: dict[str, list[str]] = {}
    for name in _keys(section, path) or ():
        found.setdefault(name, []).append('.'.join(('config', *path, name)))
        inner = section.get(name)
        if isinstance(inner, Mapping) or (not path and name in SECTIONS):
            for key, places in _places(inner or {}, (*path, name)).items():
                found.setdefault(key, []).extend(places)
    return found


def _keys(section: Mapping[str, Any], path: tuple[str, ...]) -> list[str] | None:
    """What a section may hold; None where that may be anything."""
    hints = _hints(section, path)
    return None if hints is None else list(hints)


def _hints(section: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    """The fields of a section and their annotations; None where any key will do."""
    if not path:
        return TOP | hints_of(Runtime)
    if len(path) == 1 and path[0] in SECTIONS:
        return hints_of(SECTIONS[path[0]])
    name, kind = section.get('type'), path[-1]
    if name is None or (kind not in PACKAGES and ':' not in str(name)):
        return {'type': str} if kind in PACKAGES and path[0] in COMPONENTS else None
    component = find('.'.join(path), kind, name)
    hints = hints_of(component)
    return {'type': str} | {field: hints.get(field, Any) for field in fields_of(component)}


def _set(section: dict[str, Any], override: Override) -> None:
    """Sets the last key of the path."""
    *path, key = override.path
    if key == 'type':
        return _set_type(section, override)
    hints = _hints(section, tuple(path)) or {}
    value = override.read(hints.get(key, Any))
    old = section.get(key)
    merged = not path and key in SECTIONS and isinstance(value, dict) and isinstance(old, dict)
    section[key] = old | value if merged else value
    return None


def _set_type(section: dict[str, Any], override: Override) -> None:
    """Sets the type of a component; fields that the new one does not have go."""
    path = override.path[:-1]
    name = read_as(override.text, str)
    if path[-1] in PACKAGES and name != section.get('type'):
        valid = fields_of(find('.'.join(path), path[-1], name))
        for field in [field for field in section if field not in (*valid, 'type')]:
            del section[field]
    section['type'] = name
