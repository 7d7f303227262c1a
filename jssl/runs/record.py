"""A config as config.json can hold it."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError, show


def recordable(value: Any, path: str = 'config') -> Any:
    """A config of what JSON holds, with the values that people write for it put into its words.

    Single numbers of NumPy and JAX become Python's, data types their names, paths texts; all else
    stays what it is.

    Args:
      value: the config or a part of it.
      path: of the part, for messages.

    Raises:
      JsslError: something has no such words; it is named by its path.
    """
    try:
        return _recordable(value, path)
    except RecursionError as error:
        raise JsslError(
            f'{path} is nested too deeply for config.json, or holds itself. Write it flat.'
        ) from error


def _recordable(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return {_key(key, path): _recordable(part, f'{path}.{key}') for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_recordable(part, f'{path}.{place}') for place, part in enumerate(value)]
        return tuple(parts) if isinstance(value, tuple) else parts
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if (name := _name_of_dtype(value)) is not None:
        return name
    found = value.item() if getattr(value, 'ndim', None) == 0 and hasattr(value, 'item') else value
    if found is None or isinstance(found, bool | int | float | str):
        return found
    raise JsslError(
        f'{path}={show(value)} cannot be kept in config.json, which holds numbers, texts, True, '
        'False and None, and lists, tuples and dicts of them. Write it as one of these; what is in '
        'memory, such as an array of images, is for a jssl.Experiment and jssl.fit without config.'
    )


def _key(key: Any, path: str) -> Any:
    if key is None or isinstance(key, bool | int | float | str):
        return key
    raise JsslError(
        f'{path} has the key {show(key)}, and config.json has texts as keys. Write it as a text.'
    )


def _name_of_dtype(value: Any) -> str | None:
    """The name of a data type such as `jnp.bfloat16`, None for anything else."""
    if isinstance(value, np.dtype):
        return value.name
    of_numpy = isinstance(value, type) and issubclass(value, np.generic)
    if of_numpy or (isinstance(value, type) and isinstance(getattr(value, 'dtype', 0), np.dtype)):
        return np.dtype(value).name
    return None
