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

from jssl.components import find
from jssl.config import COMPONENTS, SECTIONS, TOP, fields_at, hint_at, part_of
from jssl.errors import JsslError, show, suggest
from jssl.kinds import KINDS, classes_of, kinds_of
from jssl.literals import OPENING, read_as
from jssl.values import fields_of

ARGUMENT = re.compile(r'--?(no)?config\.([^=]*)(?:=(.*))?', re.DOTALL)


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
        whole = self.text.lstrip().startswith(OPENING) or self.text.strip() == 'None'
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
        _set(config, section, override)


def _enter(config: dict[str, Any], section: Any, override: Override, depth: int, key: str) -> Any:
    """The section `key` of `section`, a dict or list; an empty one if it is not there yet."""
    _check_key(config, section, override, depth)
    inner = part_of(section, key)
    if inner is None:
        inner = {}
    if isinstance(inner, tuple | list):  # its parts may stand in other places too
        inner = [dict(part) if isinstance(part, Mapping) else part for part in inner]
    _put(section, key, inner)
    if not isinstance(inner, dict | list):
        where = '.'.join(('config', *override.path[: depth + 1]))
        raise JsslError(
            f'{override.field}: {where}={show(inner)} has no fields. Write {where}=... to replace '
            'it.'
        )
    return inner


def _put(section: Any, key: str, value: Any) -> None:
    section[int(key) if isinstance(section, list) else key] = value


def _check_key(config: Mapping[str, Any], section: Any, override: Override, depth: int) -> None:
    """Refuses a key that the section cannot have, and names the one that was meant."""
    path, key = override.path[:depth], override.path[depth]
    valid, name = fields_at(config, path), part_of(section, 'type')
    if valid is None or key in valid:
        return
    if name is None and list(valid) == ['type']:
        where = '.'.join(('config', *path))
        names = [name for kind in kinds_of(hint_at(config, path)) for name in classes_of(kind)]
        raise JsslError(
            f'{override.field}: {where} has no type yet; add --{where}.type=NAME with one of '
            f'{", ".join(names)}.'
        )
    what = 'a key of a config' if name is None else f'a field of {name}'
    field = '.'.join(('config', *override.path[: depth + 1]))
    rest = ''.join(f'.{part}' for part in override.path[depth + 1 :])
    advice = advise(config, key, override.text, valid, rest=rest)
    if path and not advice.startswith('Did you mean'):
        advice = _others(hint_at(config, path), path, key) + advice
    raise JsslError(f'{field} is not {what}. {advice}')


def _others(hint: Any, path: Sequence[str], key: str) -> str:
    """The types that have a field of that name, in a sentence; empty where there are none."""
    classes = {name: found for kind in kinds_of(hint) for name, found in classes_of(kind).items()}
    having = [name for name, found in classes.items() if key in fields_of(found)]
    if not having or len(kinds_of(hint)) == len(KINDS):
        return ''
    types = f'The type {having[0]} has' if len(having) == 1 else f'{", ".join(having)} have'
    return f'{types} it; add --config.{".".join(path)}.type={having[0]} to take one. '


def advise(
    config: Mapping[str, Any],
    key: str,
    text: str | None,
    valid: Iterable[str] = (),
    *,
    rest: str = '',
) -> str:
    """Which field of a config, or of the section whose keys are `valid`, `key` stands for.

    Args:
      config: nested dicts.
      key: what was written, and is no field there.
      text: its value; None where it had none.
      valid: the keys of the section; empty for the config itself.
      rest: what was written behind the key, such as ``'.depth'``.
    """
    places = _places({name: {} for name in SECTIONS} | dict(config), ())
    if '.' in key:  # a path that lacks its --config.
        places = {'.'.join(place): [place] for found in places.values() for place in found}
    close = difflib.get_close_matches(key, () if valid else places, n=1, cutoff=0.7)
    found = places.get(key) or (places[close[0]] if close else [])
    if key in COMPONENTS or not found:
        return suggest(key, valid or TOP)
    value = 'VALUE' if text is None else text
    written = []
    for place in found[:3]:
        names_type = not rest and value.isidentifier() and kinds_of(hint_at(config, place))
        end = '.type' if names_type else rest
        written.append(shlex.quote(f'--config.{".".join(place)}{end}={value}'))
    return f'Did you mean {" or ".join(written)}?'


def _places(config: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, list[tuple[str, ...]]]:
    """The paths of all fields in a section of a config, by what they are called."""
    found: dict[str, list[tuple[str, ...]]] = {}
    section: Any = config
    for key in path:
        section = section[key]
    for name in fields_at(config, path) or ():
        found.setdefault(name, []).append((*path, name))
        if isinstance(section.get(name), Mapping):
            for key, places in _places(config, (*path, name)).items():
                found.setdefault(key, []).extend(places)
    return found


def _set(config: Mapping[str, Any], section: Any, override: Override) -> None:
    """Sets the last key of the path, which `section` has."""
    *path, key = override.path
    if key == 'type' and kinds_of(hint_at(config, path)):
        return _set_type(hint_at(config, path), section, override)
    value = override.read(hint_at(config, override.path))
    old = part_of(section, key)
    merged = not path and key in SECTIONS and isinstance(value, dict) and isinstance(old, dict)
    _put(section, key, old | value if merged else value)
    return None


def _set_type(hint: Any, section: dict[str, Any], override: Override) -> None:
    """Sets the type of a component; fields that the new one does not have go."""
    name = read_as(override.text, str)
    if name != section.get('type'):
        valid = fields_of(find('.'.join(override.path[:-1]), hint, name))
        for field in [field for field in section if field not in (*valid, 'type')]:
            del section[field]
    section['type'] = name
