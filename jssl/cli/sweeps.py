"""What ``--sweep`` says: fields of the config, and the values that they are to have.

    --sweep="optimizer.lr=[1e-3,3e-3]; seed=range(4)"

is a lane for each of the eight combinations; the last field changes first.
"""

import argparse
import ast
import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any

from jssl import literals
from jssl.cli.experiments import settle
from jssl.errors import JsslError, show
from jssl.overrides import Override, apply

EXAMPLE = '--sweep="optimizer.lr=[1e-3,3e-3]; seed=range(4)"'
MOST = 1000  # lanes


def read(text: str) -> list[dict[str, Any]]:
    """The settings that a sweep describes: field -> value, the same fields in all.

    Raises:
      JsslError: says which part of it cannot be read, and how it is written.

    Examples:
      >>> read('optimizer.lr=[0.1, 0.2]; seed=range(1, 3)')[1]
      {'optimizer.lr': 0.1, 'seed': 2}
    """
    fields: dict[str, Sequence[Any]] = {}
    for part in filter(str.strip, text.split(';')):
        name, equals, values = part.partition('=')
        field = name.strip().removeprefix('--').removeprefix('config.')
        if not equals or not all(field.split('.')):
            raise JsslError(f'--sweep: {part.strip()!r} is no field=values; write {EXAMPLE}.')
        if field in fields:
            raise JsslError(f'--sweep names {field} twice; give all its values in one list.')
        fields[field] = _values(field, values.strip())
    lanes = math.prod(map(len, fields.values()))
    if not fields or lanes > MOST:
        what = f'has {lanes} lanes, more than {MOST}' if fields else 'names no field'
        raise JsslError(f'--sweep={text!r} {what}; write for example {EXAMPLE}.')
    return [
        dict(zip(fields, values, strict=True)) for values in itertools.product(*fields.values())
    ]


def _values(field: str, text: str) -> Sequence[Any]:
    try:
        found = _range(text) if text.startswith('range') else literals.read(text)
    except ValueError as error:
        raise JsslError(
            f'--sweep: the values of {field} cannot be read: {error}. Write a list or a range, '
            f'as in {EXAMPLE}.'
        ) from error
    if not isinstance(found, list | tuple | range):
        raise JsslError(
            f'--sweep: {field}={show(found)} must be a list of at least one value; write '
            f'{field}=[{text}].'
        )
    if not found:
        raise JsslError(
            f'--sweep: {field}={text} has no value; write at least one, as in {EXAMPLE}, or leave '
            f'{field} out.'
        )
    if any(value in found[:place] for place, value in enumerate(found[:MOST])):
        raise JsslError(f'--sweep: {field}={show(found)} has a value twice; leave one out.')
    return found


def _range(text: str) -> range:
    """Python's range of one to three whole numbers; nothing is evaluated."""
    try:
        node = ast.parse(text, mode='eval').body
    except SyntaxError:
        node = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'range':
        bounds = literals.read(f'[{", ".join(map(ast.unparse, node.args))}]')
        if (
            not node.keywords
            and 1 <= len(bounds) <= 3
            and all(type(b) is int and abs(b) < 2**62 for b in bounds)
        ):
            return range(*bounds)
    raise ValueError(f'{text!r} is no range of one to three whole numbers, such as range(4)')


def settle_lanes(options: argparse.Namespace) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The setting and the config of each lane, as `settle` gives that of a run.

    Args:
      options: of `jssl train`, with `sweep`.

    Raises:
      JsslError: for what is wrong with the sweep or with the config.
    """
    settings = read(options.sweep)
    given = {override.field for override in options.overrides}
    if twice := [field for field in settings[0] if f'config.{field}' in given]:
        raise JsslError(
            f'--config.{twice[0]} and --sweep set the same field; leave out one of them.'
        )
    lanes = [[_override(field, value) for field, value in s.items()] for s in settings]
    options.overrides = [*options.overrides, *lanes[0]]
    settle(options)
    configs = [copy.deepcopy(options.config) for _ in settings]
    for config, overrides in zip(configs, lanes, strict=True):
        apply(config, overrides)
    return list(zip(settings, configs, strict=True))


def _override(field: str, value: Any) -> Override:
    return Override(tuple(field.split('.')), value if isinstance(value, str) else repr(value))
