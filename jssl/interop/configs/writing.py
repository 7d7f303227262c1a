"""A config of jssl as a Python file that a person can read and change.

Values are written as Python writes them, and everything else that came from another file stands in
comments without line ends, so that no text of a config can become code.
"""

import keyword
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from jssl.errors import JsslError

WIDTH = 100
STEP = 4
HEAD = '''"""An experiment, as `jssl import` carried it over from another library's config.

    jssl train --config=THIS_FILE.py

The comments say from which lines the sections are.
"""
'''
BODY = '''
from typing import Any

from jssl.config import ConfigDict, choose


def get_config(variant: str = '') -> ConfigDict:
    """The experiment; there is no other variant."""
    return choose(variant, imported=imported)


def imported() -> dict[str, Any]:
    """All of its sections."""
    return '''


def written(config: Mapping[str, Any], comments: Mapping[str, str], about: Sequence[str]) -> str:
    """The text of a config file.

    Args:
      config: the sections.
      comments: a line above some of them, by their names.
      about: paragraphs for the top of the file.

    Raises:
      JsslError: for a value that has no literal.
    """
    top = '\n#\n'.join(comment(paragraph) for paragraph in about)
    return HEAD + '\n' + top + '\n' + BODY + _sections(config, comments) + '\n'


def comment(text: str, indent: int = 0) -> str:
    """A text as lines that begin with ``#``."""
    plain = ''.join(letter if letter.isprintable() else ' ' for letter in text)
    start = ' ' * indent + '# '
    lines = textwrap.wrap(plain, WIDTH - len(start), break_long_words=False, break_on_hyphens=False)
    return '\n'.join(start + line for line in lines or [''])


def _sections(config: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """The outermost dict, a section after the other, with their comments."""
    inner = 2 * STEP
    lines = ['dict(']
    for key, value in config.items():
        if key in comments:
            lines.append(comment(comments[key], inner))
        lines.append(f'{" " * inner}{key}={literal(value, inner, len(key) + 2)},')
    return '\n'.join([*lines, ' ' * STEP + ')'])


def literal(value: Any, indent: int, used: int = 0) -> str:
    """A value as Python has it, on one line where it fits there.

    Args:
      value: plain.
      indent: of the line that it begins on.
      used: characters of that line that are taken, besides the indent.
    """
    text = _on_a_line(value)
    if indent + used + len(text) <= WIDTH or not isinstance(value, Mapping | list | tuple):
        return text
    inner, pad = indent + STEP, ' ' * (indent + STEP)
    if isinstance(value, Mapping):
        lines = [
            f'{pad}{name}{literal(part, inner, len(name) + 1)},' for name, part in _named(value)
        ]
    else:
        lines = [f'{pad}{literal(part, inner, 1)},' for part in value]
    start, end = _brackets(value)
    return '\n'.join([start, *lines, ' ' * indent + end])


def _on_a_line(value: Any) -> str:
    start, end = _brackets(value)
    if isinstance(value, Mapping):
        return start + ', '.join(name + _on_a_line(part) for name, part in _named(value)) + end
    if isinstance(value, list | tuple):
        parts = ', '.join(map(_on_a_line, value))
        return start + parts + (',' if isinstance(value, tuple) and len(value) == 1 else '') + end
    if isinstance(value, float) and not math.isfinite(value):
        raise JsslError(f'The config has the number {value}, which no setting can be; correct it.')
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)
    raise JsslError(f'The config has a value of type {type(value).__name__}; take it out.')


def _brackets(value: Any) -> tuple[str, str]:
    if isinstance(value, Mapping):
        return ('dict(', ')') if _are_names(value) else ('{', '}')
    return ('(', ')') if isinstance(value, tuple) else ('[', ']')


def _named(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The entries of a dict, each with what stands before its value."""
    if _are_names(value):
        return [(f'{key}=', part) for key, part in value.items()]
    return [(f'{key!r}: ', part) for key, part in value.items()]


def _are_names(value: Mapping[str, Any]) -> bool:
    return all(str(key).isidentifier() and not keyword.iskeyword(key) for key in value)
