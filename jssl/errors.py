"""The error that a user is meant to read: one paragraph, with the remedy in it."""

import difflib
import logging
import reprlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

LONGEST = 300  # characters of another library's message
Made = TypeVar('Made')


class JsslError(ValueError):
    """Bad input. The message names the field, its value and what to do about it.

    The command line prints the message alone, without a traceback.
    """


def show(value: Any) -> str:
    """A value as Python writes it, cut where that fills more than a line."""
    text = repr(value)
    return text if len(text) <= 80 else reprlib.repr(value)


def suggest(name: str, valid: Iterable[str]) -> str:
    """A sentence that names the closest of `valid` and lists them all.

    Args:
      name: what the user wrote.
      valid: what could have been written.

    Returns:
      For example ``"Did you mean 'depth'? Valid names: depth, strides."``.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f'Did you mean {close[0]!r}? ' if close else ''
    return f'{hint}Valid names: {", ".join(names)}.'


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
        reason = ' '.join(str(error).split())[:LONGEST].rstrip('.')
        kind = '' if isinstance(error, JsslError) else f'{type(error).__name__}: '
        tell(f'{what} is missing: {kind}{reason}.')
        return None
