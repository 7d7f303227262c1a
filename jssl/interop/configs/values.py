"""What a config of the reference holds: plain values, of which dicts know where they stand."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from jssl.errors import JsslError

MOST = 50_000  # values in a config, copies included; those of the reference have a few hundred
LONGEST = 10_000  # characters of a text
LARGEST = 10.0**300  # of a number


@dataclasses.dataclass(frozen=True)
class Place:
    """A line of a file.

    Attributes:
      file: its path, as the user gave it or relative to that.
      line: from 1.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f'{self.file}:{self.line}'


class Section(dict[str, Any]):
    """A dict of a config.

    Attributes:
      place: where it begins.
      places: where each of its entries stands, by its key.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Any, place: Place) -> None:
        """Sets an entry."""
        self[key] = value
        self.places[key] = place

    def drop(self, key: str) -> None:
        """Takes an entry out."""
        del self[key], self.places[key]

    def where(self, *keys: str) -> Place:
        """The line of an entry, of one inside that, and so on; as deep as there are such."""
        found = self.places.get(keys[0], self.place) if keys else self.place
        inner = self.get(keys[0]) if keys else None
        return inner.where(*keys[1:]) if isinstance(inner, Section) and keys[1:] else found


class Budget:
    """How many values a config may still make, so that a small file cannot fill the memory."""

    def __init__(self) -> None:
        self._left = MOST

    def spend(self, values: int, place: Place) -> None:
        """Counts values that are about to be made.

        Raises:
          JsslError: they are too many.
        """
        self._left -= values
        if self._left < 0:
            raise JsslError(
                f'{place}: the config makes more than {MOST} values, which no config of a training '
                'needs; take out what repeats or copies them.'
            )


def copied(value: Any, budget: Budget, place: Place) -> Any:
    """A value that shares nothing with `value`; texts and numbers cannot change and stay."""
    budget.spend(1, place)
    if isinstance(value, Section):
        result = Section(value.place)
        for key, inner in value.items():
            result.put(key, copied(inner, budget, place), value.places[key])
        return result
    if isinstance(value, list | tuple):
        return type(value)(copied(inner, budget, place) for inner in value)
    return value


def checked(value: Any, place: Place) -> Any:
    """A text or number that is not too large.

    Raises:
      JsslError: it is.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not abs(value) <= LARGEST and value == value and abs(value) != float('inf'):
        raise JsslError(f'{place}: a number of more than 300 digits; write one that is needed.')
    if isinstance(value, str | bytes) and len(value) > LONGEST:
        raise JsslError(f'{place}: a text of {len(value)} characters; {LONGEST} are the most.')
    return value


def sections(value: Any) -> Iterator[Section]:
    """Every dict in a value, itself included, from the outside in."""
    if isinstance(value, Section):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value
    for part in inner if isinstance(value, Mapping | list | tuple) else ():
        yield from sections(part)
