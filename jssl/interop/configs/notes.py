"""What of a config has no counterpart, or another one, each with the line that it stands on."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from jssl.errors import JsslError, show
from jssl.interop.configs.values import Place, Section
from jssl.interop.model_dicts import bare

LARGEST = 10**12  # of what is counted


@dataclasses.dataclass(frozen=True)
class Note:
    """A sentence about a line.

    Attributes:
      place: the line.
      name: by which it may be left out.
      text: what to know of it.
    """

    place: Place
    name: str
    text: str

    def __str__(self) -> str:
        return f'{self.place}: {self.text}'


class Notes:
    """Gathers what is to be said of a config.

    Attributes:
      missing: what would train something else, and has no counterpart.
      differs: what is carried over to something that computes a little differently.
      left: what is left out and changes nothing that is trained.
    """

    def __init__(self) -> None:
        self.missing: list[Note] = []
        self.differs: list[Note] = []
        self.left: list[Note] = []

    def miss(self, place: Place, name: str, text: str) -> None:
        """Notes what has no counterpart."""
        self.missing.append(Note(place, name, text))

    def differ(self, place: Place, text: str) -> None:
        """Notes what is a little different here."""
        note = Note(place, '', text)
        if note not in self.differs:
            self.differs.append(note)

    def leave(self, place: Place, name: str, text: str) -> None:
        """Notes what is left out without an effect."""
        self.left.append(Note(place, name, text))

    def check(self, leave_out: Iterable[str]) -> None:
        """Refuses a config with something that has no counterpart, unless it may be left out.

        Args:
          leave_out: how the names begin of what may be.

        Raises:
          JsslError: lists the rest.
        """
        accepted = tuple(leave_out)
        rest = [note for note in self.missing if not note.name.startswith(accepted or ('\0',))]
        if rest:
            names, listed = dict.fromkeys(note.name for note in rest), '; '.join(map(str, rest))
            options = ' '.join(f'--leave_out={name}' for name in names)
            raise JsslError(
                f'{len(rest)} of its settings have no counterpart in jssl: {listed}. Change them, '
                f'or leave them out with {options}.'
            )


class Fields:
    """The entries of a dict, each to be taken, or noted as one without a counterpart.

    Args:
      section: the dict.
      notes: is told.
      name: what the dict is called.
    """

    def __init__(self, section: Section, notes: Notes, name: str) -> None:
        self.section, self.notes, self.name = section, notes, name
        self._left = dict(section)

    def __contains__(self, key: str) -> bool:
        return key in self.section

    @property
    def place(self) -> Place:
        """Where the dict begins."""
        return self.section.place

    def where(self, *keys: str) -> Place:
        """The line of an entry."""
        return self.section.where(*keys)

    def take(self, key: str, default: Any = None) -> Any:
        """The value of an entry."""
        return self._left.pop(key, self.section.get(key, default))

    def first(self, *keys: str, default: Any = None) -> Any:
        """The value of the first of several entries that is there; releases differ in names."""
        found = [self.take(key) for key in keys if key in self.section]
        return found[0] if found else default

    def number(self, *keys: str, default: float) -> Any:
        """As `first`, of a number.

        Raises:
          JsslError: it is none.
        """
        value = self.first(*keys, default=default)
        if not _is_number(value):
            raise self.wrong(keys[0], value, 'a number')
        return value

    def numbers(self, *keys: str, default: Iterable[float] = (), count: int | None = None) -> Any:
        """As `first`, of a tuple of numbers, of `count` where that is given.

        Raises:
          JsslError: it is none.
        """
        value = self.first(*keys, default=tuple(default))
        fitting = isinstance(value, list | tuple) and all(map(_is_number, value))
        if not fitting or count not in (None, len(value)):
            raise self.wrong(keys[0], value, f'a list of {count} numbers' if count else 'numbers')
        return tuple(value)

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number from 1; ``1e3`` is one.

        Raises:
          JsslError: it is none, or not there.
        """
        value = self.take(key, default)
        if not _is_number(value) or not 1 <= value <= LARGEST or value != int(value):
            raise self.wrong(key, value, 'a whole number, at least 1')
        return int(value)

    def inner(self, key: str) -> 'Fields':
        """A dict inside; empty where there is none.

        Raises:
          JsslError: it is no dict.
        """
        value = self.take(key)
        if value is None:
            value = Section(self.where(key))
        if not isinstance(value, Section):
            raise self.wrong(key, value, 'a dict')
        return Fields(value, self.notes, f'{self.name}.{key}')

    def wrong(self, key: str, value: Any, wanted: str) -> JsslError:
        """The error for a value of the wrong type."""
        return JsslError(
            f'{self.where(key)}: {self.name}.{key}={show(value)} must be {wanted}; correct it.'
        )

    def only(self, key: str, *wanted: Any) -> None:
        """Takes an entry that has only these values here; notes another one."""
        value = self.take(key, wanted[0])
        if value not in wanted:
            self.miss(key, value, f'it is {show(wanted[0])} here')

    def miss(self, key: str, value: Any, why: str) -> None:
        """Notes an entry without a counterpart."""
        text = f'{self.name}.{key}={show(value)}: {why}'
        self.notes.miss(self.where(key), f'{self.name}.{key}', text)

    def ignore(self, *keys: str) -> None:
        """Takes entries that change nothing of what is trained."""
        for key in keys:
            self._left.pop(key, None)

    def finish(self, why: str = 'jssl has no such setting') -> None:
        """Notes the entries that nobody took."""
        for key, value in self._left.items():
            self.miss(key, value, why)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def kind(section: Mapping[str, Any]) -> str:
    """The type that a dict names, without its scope."""
    return bare(section.get('type', ''))
