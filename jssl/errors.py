"""The error that a user is meant to read: one paragraph, with the remedy in it."""

import difflib
import logging
import math
import re
import reprlib
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

MOST = 30  # names that a message lists
SYNONYMS = {'lr': 'learning_rate', 'learning_rate': 'lr'}  # PyTorch's and ours, and optax's
VERSION = re.compile(r'_?v?\d+$')  # behind a name
LONGEST = 300  # characters of another library's message
PACKAGE = str(Path(__file__).resolve().parent)
LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ('stdlib', 'purelib', 'platlib'))
Made = TypeVar('Made')


class JsslError(ValueError):
    """Bad input. The message names the field, its value and what to do about it.

    The command line prints the message alone, without a traceback.
    """


class UnevenPatches(JsslError):
    """Images whose sides are no multiples of the patch.

    Attributes:
      side: of a patch in pixels.
      field: of the config that says it.
      smaller: a side of patches that divides the images; None where only single pixels do.
    """

    def __init__(self, height: int, width: int, side: int, field: str) -> None:
        """Says so, with sides that work."""
        whole = math.gcd(height, width)
        self.side, self.field = side, field
        self.smaller = next((p for p in range(min(side, whole), 1, -1) if whole % p == 0), None)
        sides = ' or '.join(str(length) for length in self.sides_near(height))
        super().__init__(
            f'Images of {height} x {width} px do not divide into patches of {field}={side}; views '
            f'of {sides} px do.'
        )

    def sides_near(self, length: int) -> list[int]:
        """The multiples of a patch around so many pixels, the smaller first; 0 is none."""
        below = length - length % self.side
        return [below, below + self.side] if below else [self.side]


class NotFinite(JsslError):
    """Numbers of a run are no longer finite: it can learn nothing more.

    Attributes:
      step: by which the state or the loss is not; None where features are not.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        """Says so."""
        super().__init__(message)
        self.step = step


def show(value: Any) -> str:
    """A value as Python writes it, on one line, cut where it does not fit there."""
    text = repr(value)
    text = text if len(text) <= 80 else reprlib.repr(value)
    return ' '.join(text.split()) if '\n' in text else text


def suggest(name: str, valid: Iterable[str]) -> str:
    """A sentence that names the closest of `valid` and lists them, of many those that come close.

    Args:
      name: what the user wrote.
      valid: what could have been written.

    Returns:
      For example ``"Did you mean 'depth'? Valid names: depth, strides."``.
    """
    names = sorted(valid)
    close = [SYNONYMS[name]] if SYNONYMS.get(name) in names else []
    bare = VERSION.sub('', name)  # of 'mocov2', where both versions are one config
    close = close or [found for found in (bare,) if found in names]
    close = close or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f'Did you mean {close[0]!r}? ' if close else ''
    if len(names) > MOST:
        near = difflib.get_close_matches(name, names, n=8, cutoff=0.3) or names[:8]
        return f'{hint}Names that come close: {", ".join(near)}.'
    return f'{hint}Valid names: {", ".join(names)}.'


def in_words(error: Exception, *, where: bool = True) -> str:
    """One line about an exception: its type, its text and, if `where`, its place in a user's code.

    What says itself what it is, a `JsslError` or an error of the system, is given as it stands.
    """
    text = ' '.join(str(error).split())
    if isinstance(error, JsslError):
        return text
    text = text if len(text) <= LONGEST else f'{text[:LONGEST]}…'
    if isinstance(error, OSError) and error.errno is not None:
        return text
    kind = type(error)
    name = kind.__name__ if kind.__module__ == 'builtins' else f'{kind.__module__}.{kind.__name__}'
    return ': '.join(filter(None, (name, text))) + (_where(error) if where else '')


def _where(error: Exception) -> str:
    """Such as `` (zipped.py, line 12)``: in the code of the user's own, as deep as that goes."""
    frames = [
        (Path(frame.f_code.co_filename), line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith((PACKAGE, '<'))  # '<': made by a dataclass
        and not frame.f_code.co_filename.startswith(LIBRARIES)
    ]
    if not frames:
        return ''
    line = next(line for path, line in reversed(frames) if path == frames[0][0])
    return f' ({frames[0][0].name}, line {line})'


def attempt(what: str, make: Callable[[], Made], tell: Callable[[str], None]) -> Made | None:
    """`make()`, or None after telling in a sentence why not: for what must not cost a result.

    The log has the traceback, at the level DEBUG.

    Args:
      what: is missing then, such as ``'The map of the features'``.
      make: may raise anything.
      tell: is told.
    """
    try:
        return make()
    except Exception as error:
        logging.getLogger(__name__).debug('%s', what, exc_info=True)
        tell(f'{what} is missing: {in_words(error).rstrip(".")}.')
        return None
