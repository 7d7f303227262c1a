"""Arrays by name, from and to files that hold arrays and nothing that could be run."""

import contextlib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jssl.errors import JsslError
from jssl.paths import expanded
from jssl.weights.npz import read_npz
from jssl.weights.shards import INDEX, read_shards

READABLE = ('.safetensors', '.npz')
# What stands beside the weights of a network and is counted, or looked up by number. An integer
# alone is a counter or a size wherever it is.
TABLES = ('label_bank', 'multinomial.alias', 'position_ids', 'relative_position_index')
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
WANTED = 'floating-point numbers of 16, 32 or 64 bits'
LONGEST = 300  # letters of another library's message that are passed on


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors or .npz file, or of all that a .index.json lists, by name.

    They are finite floating-point numbers, in the precision of the file; bfloat16 becomes float32.
    Beside them there may be counters, which are single integers, and tables of positions or rows.

    Raises:
      JsslError: if there is no such file, it is of another kind or broken, or an array is no
        weight; says how to convert one of PyTorch.
    """
    path = expanded(path)
    if not os.path.isfile(path):  # which a name that is too long is not either
        raise JsslError(f'There is no file {str(path)!r}; give the path of one with weights.')
    suffix = path.suffix.lower()
    several = path.name.endswith(INDEX)
    if suffix not in READABLE and not several:
        raise JsslError(
            f'{path} may hold a pickle, which jssl does not read; convert it once with '
            f'{conversion(path, path)}'
        )
    try:
        if several:
            arrays = read_shards(path, read_weights)
        elif suffix == '.npz':
            arrays = read_npz(path, check_kind)
        else:
            arrays = _read_safetensors(path)
        if not arrays:
            raise ValueError('it holds no arrays')
        check_finite(arrays)
    except Exception as error:  # the libraries raise far more at damaged bytes than they document
        raise JsslError(
            f'{path} could not be read as weights: {brief(error)}. Give a whole .safetensors or '
            '.npz file of floating-point arrays.'
        ) from error
    return arrays


def write_weights(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a .safetensors file; who dies here leaves the former file whole.

    Args:
      path: of the file.
      arrays: by name.
      metadata: what the file says of itself.

    Raises:
      OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    part = path.with_name(f'{path.name}.part')
    try:
        part.unlink(missing_ok=True)  # a link would be followed
        part.touch()
        mode = part.stat().st_mode
        # It writes the memory of an array as it lies there.
        ordered = {name: np.asarray(array, order='C') for name, array in arrays.items()}
        save_file(ordered, part, metadata=dict(metadata or {}))
        with contextlib.suppress(OSError):  # of some network file systems
            part.chmod(mode)  # it makes a file that nobody else may read
        part.replace(path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def conversion(source: str | Path, target: Path) -> str:
    """The command that converts a checkpoint of PyTorch into a file beside `target`."""
    name = target.with_suffix('.safetensors') if target.name else 'weights.safetensors'
    return f'jssl import {shlex.quote(str(source))} {shlex.quote(str(name))}'


def check_kind(name: str, dtype: np.dtype, count: int) -> None:
    """Refuses an array that can be no part of a network.

    Args:
      name: of the array.
      dtype: its type.
      count: how many entries it has.

    Raises:
      ValueError: names array and type.
    """
    if dtype.kind == 'f' and dtype.itemsize <= 8:
        return
    if dtype.kind in 'biu' and (count <= 1 or name.endswith(TABLES)):
        return
    raise ValueError(f'{name!r} has {count} values of type {dtype}, and weights are {WANTED}')


def check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses infinities and NaN.

    Raises:
      ValueError: names the array and counts them.
    """
    for name, array in arrays.items():
        finite = np.isfinite(array)
        if not finite.all():
            raise ValueError(
                f'{name!r} has {finite.size - np.count_nonzero(finite)} of {finite.size} values '
                'that are infinite or NaN'
            )


def brief(error: Exception) -> str:
    """What an error says, as a part of a sentence in one line."""
    said = ' '.join(str(error).split()) or type(error).__name__
    return said.rstrip('.') if len(said) <= LONGEST else f'{said[:LONGEST]} ...'


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import deserialize

    return {name: _array(name, **entry) for name, entry in deserialize(path.read_bytes())}


def _array(name: str, dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    if dtype not in TYPES:
        raise ValueError(f'{name!r} is of type {dtype}, and weights are {WANTED}')
    array = np.frombuffer(data, TYPES[dtype]).reshape(shape)
    if dtype == 'BF16':  # the upper half of a float32
        wide = array.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    check_kind(name, array.dtype, array.size)
    return array
