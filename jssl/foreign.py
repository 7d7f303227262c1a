"""Classes that a file names: those of jssl are looked up, code of others is refused.

A config.json that came with a run may name any class of any module, and naming one is enough to
have it imported and called. What is read from a file therefore passes here before it is a config.
"""

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from jssl.errors import JsslError

DEPTH = 32  # levels of nesting, far above any config's; beyond the interpreter's limit it crashes


def names(value: Any) -> set[str]:
    """All strings in a nested config that can name a class outside jssl: they have a colon."""
    return {text for _, text in _strings(value, '') if ':' in text}


def refuse_foreign(
    value: Any, path: str, where: str, trusted: Collection[str], remedy: Callable[[str, str], str]
) -> None:
    """Refuses classes outside jssl in what was read from a file; imports nothing to find out.

    Args:
      value: nested mappings, lists and plain values; classes are under the keys `type`.
      path: where `value` stands in the config, such as ``'model.backbone'``; empty for all of it.
      where: the file, for the message.
      trusted: what the user's own config and command line name: these are let through.
      remedy: (path, name) -> how to name this one, as it is typed.

    Raises:
      JsslError: names the first such class and the remedy, or `value` is nested too deeply.
    """
    for place, text in _strings(value, path):
        is_type = place.rpartition('.')[2] == 'type'
        if is_type and ':' in text and text not in trusted:
            raise JsslError(
                f'{where} names {text!r} as {place}, which is no class of jssl. Code that a file '
                f'names is run only if you name it too: if you trust it, add '
                f'{remedy(place.removesuffix(".type"), text)}.'
            )


def option(path: str, name: str) -> str:
    """The argument that names a class for a part of a config."""
    parts = path.split('.')
    numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
    if not numbers:
        return shlex.quote(f'--config.{path}.type={name}')
    return shlex.quote(f'--config.{".".join(parts[: numbers[0]])}=[{{"type": "{name}"}}]')


def _strings(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every string in nested mappings and sequences with its dotted path."""
    if depth > DEPTH:
        raise JsslError(
            f'config.{path[:40]}… is nested more than {DEPTH} levels deep, which no config of '
            'jssl is; give the config.json that its run has written.'
        )
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, f'{path}.{key}' if path else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _strings(inner, f'{path}.{number}', depth + 1)
