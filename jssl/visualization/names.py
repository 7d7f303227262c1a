"""Names of classes as people give them, on pages and in pictures."""

import functools
import re
import unicodedata
from collections.abc import Sequence

from matplotlib.font_manager import FontProperties, findfont, get_font

WEIGHTS = ('normal', 'bold')  # in which names are drawn
# Control characters but tab and new line, and halves of characters, as in names of files that are
# not UTF-8.
UNFIT = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]')
RIGHT_TO_LEFT = ('R', 'AL', 'AN')  # which pictures would show from left to right


def class_name(label: int, names: Sequence[str] | None) -> str:
    """The name of a class, or its number where it has none."""
    named = names is not None and 0 <= label < len(names)
    return str(names[label]) if names is not None and named else str(label)


def shorten(name: str, length: int) -> str:
    """A name without what would not fit."""
    return name if len(name) <= length else f'{name[: length - 1].rstrip()}…'


def printable(name: str) -> str:
    """A name with what cannot be seen as it is written in programs: ``\\x00``, ``\\u202e``."""
    return ''.join(c if c.isprintable() else _escaped(c) for c in name)


def savable(text: str) -> str:
    """`text` as UTF-8 can hold it and a browser shows it; what it cannot, as `printable` has it."""
    return UNFIT.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode('unicode_escape').decode()


def can_be_drawn(name: str) -> bool:
    """Whether pictures can show a name: its letters are in the font and run from left to right."""
    codes = {ord(character) for character in name}
    return all(codes <= _letters(weight) for weight in WEIGHTS) and not any(
        unicodedata.bidirectional(character) in RIGHT_TO_LEFT for character in name
    )


@functools.cache
def _letters(weight: str) -> frozenset[int]:
    """The characters of the font in which matplotlib draws."""
    return frozenset(get_font(findfont(FontProperties(weight=weight))).get_charmap())
