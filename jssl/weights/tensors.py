"""Arrays of a .safetensors file, each read when it is wanted."""

import functools
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from jssl.weights.unread import Unread, read_values

LENGTH = 8  # bytes at the begin of a file that say how long its header is
TYPES = {
    'F64': 'float64',
    'F32': 'float32',
    'F16': 'float16',
    'BF16': 'uint16',  # which NumPy does not have; they are widened
    'I64': 'int64',
    'I32': 'int32',
    'I16': 'int16',
    'I8': 'int8',
    'U64': 'uint64',
    'U32': 'uint32',
    'U16': 'uint16',
    'U8': 'uint8',
    'BOOL': 'bool',
}


def open_tensors(
    path: Path, file: IO[bytes], check: Callable[[str, np.dtype, int], None]
) -> dict[str, Unread]:
    """The arrays of a .safetensors file by name.

    Args:
      path: of the file.
      file: the same, which has to be open as long as arrays are read.
      check: is told name, type and number of entries of each array, and raises an error for one
        that is not wanted.

    Raises:
      ValueError: says what is wrong with which array. A header that lies raises what the library
        raises at it.
    """
    from safetensors import safe_open

    with safe_open(path, 'numpy'):  # compares all that the header says with the file
        pass
    length = int.from_bytes(file.read(LENGTH), 'little')
    header: dict[str, Any] = json.loads(file.read(length))
    header.pop('__metadata__', None)
    start = LENGTH + length
    return {name: _unread(name, entry, file, start, check) for name, entry in header.items()}


def _unread(
    name: str,
    entry: Mapping[str, Any],
    file: IO[bytes],
    start: int,
    check: Callable[[str, np.dtype, int], None],
) -> Unread:
    if entry['dtype'] not in TYPES:
        raise ValueError(
            f'{name!r} is of type {entry["dtype"]}, which is neither one of floating-point numbers '
            'of 16, 32 or 64 bits nor of whole numbers'
        )
    dtype, shape = np.dtype(TYPES[entry['dtype']]), tuple(entry['shape'])
    wide = entry['dtype'] == 'BF16'
    check(name, np.dtype('float32') if wide else dtype, math.prod(shape))
    place = start + entry['data_offsets'][0]
    if place + math.prod(shape) * dtype.itemsize > os.fstat(file.fileno()).st_size:
        raise ValueError(f'{name!r} is to end where the file has ended before')
    return Unread(shape, functools.partial(_read, file, place, shape, dtype, wide))


def _read(
    file: IO[bytes], place: int, shape: tuple[int, ...], dtype: np.dtype, wide: bool
) -> np.ndarray:
    file.seek(place)
    array = read_values(file, shape, dtype).reshape(shape)
    if not wide:
        return array
    whole = array.astype(np.uint32)  # of which bfloat16 is the upper half, as a float32
    whole <<= 16
    return whole.view(np.float32)
