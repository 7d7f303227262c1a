"""Values as they are typed on a command line: Python literals, and ``dict(key=value)``."""

import ast
import types
import typing
import warnings
from collections.abc import Sequence
from typing import Any

WORDS = {'true': True, 'false': False, '1': True, '0': False}
OPENING = ('dict(', '{', '(', '[')


def read(text: str) -> Any:
    """The value of a Python literal; nothing is evaluated.

    Numbers, strings in quotes, True, False, None, tuples, lists, dicts whose keys are strings, and
    ``dict(key=value)``, nested at will.

    Raises:
      ValueError: `text` is none of these.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Python's on odd literals, such as 1if
            return _value(ast.parse(text.strip(), mode='eval').body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f'{text!r} is no Python literal') from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=number)):
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number if isinstance(sign, ast.USub) else number
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return _dict([_key(key) for key in keys], values)
        case ast.Call(func=ast.Name(id='dict'), args=[], keywords=pairs):
            return _dict([pair.arg for pair in pairs], [pair.value for pair in pairs])
    raise ValueError(f'{ast.unparse(node)} is no Python literal')


def _key(node: ast.expr | None) -> Any:
    return None if node is None else _value(node)


def _dict(keys: Sequence[Any], values: Sequence[ast.expr]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        raise ValueError(f'the keys {keys!r} are no strings, or one is there twice')
    return {key: _value(value) for key, value in zip(keys, values, strict=True)}


def read_as(text: str, hint: Any) -> Any:
    """What `text` stands for in a field with the annotation `hint`.

    Strings need no quotes. Numbers become floats and lists become tuples where the field has them.

    Raises:
      ValueError: it looks like a list, tuple or dict and cannot be read as one.
    """
    options = _options(hint)
    try:
        value = read(text)
    except ValueError:
        return _unquoted(text, options)
    if isinstance(value, list | tuple) and tuple in options:
        return _as_tuple(value)
    kinds = tuple(kind for kind in options if isinstance(kind, type) and kind is not Any)
    if str in options and value is not None and not isinstance(value, kinds):
        return text  # a folder called 2024
    if float in options and int not in options and type(value) is int and abs(value) < 1e300:
        return float(value)
    if options == [bool] and text.strip() in WORDS:
        return WORDS[text.strip()]
    return value


def _unquoted(text: str, options: Sequence[Any]) -> Any:
    """The string without quotes, or one of the words that are no literals of Python."""
    word = text.strip().lower()
    if str in options:
        return text
    if bool in options and word in WORDS:
        return WORDS[word]
    if float in options:
        try:
            return float(word)  # nan and inf, for the field to refuse
        except ValueError:
            return text
    if word.startswith(OPENING):
        raise ValueError('brackets, commas or quotes are missing; strings in it need quotes')
    return text


def _options(hint: Any) -> list[Any]:
    """The types that an annotation allows, without their parameters."""
    if typing.get_origin(hint) is typing.Annotated:
        return _options(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [option for inner in typing.get_args(hint) for option in _options(inner)]
    origin = typing.get_origin(hint) or hint
    return [tuple if origin is Sequence else origin] if hint is not type(None) else []


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value
