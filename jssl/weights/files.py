"""Arrays by name, from and to files that hold arrays and nothing that could be run."""

import contextlib
import functools
import os
import shlex
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jssl.errors import JsslError
from jssl.files import replacing
from jssl.paths import expanded
from jssl.weights.npz import open_npz
from jssl.weights.shards import INDEX, open_shards
from jssl.weights.tensors import open_tensors
from jssl.weights.unread import Unread

READABLE = ('.safetensors', '.npz')
# What stands beside the weights of a network and is counted, or looked up by number. An integer
# alone is a counter or a size wherever it is.
TABLES = ('label_bank', 'multinomial.alias', 'position_ids', 'relative_position_index')
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
    with open_weights(path) as arrays:
        return {name: np.asarray(array) for name, array in arrays.items()}


@contextlib.contextmanager
def open_weights(path: str | Path) -> Iterator[dict[str, Unread]]:
    """As `read_weights`, but within the context each array is read when it is wanted.

    What is not wanted takes no memory, whatever its size, and may hold infinities and NaN.

    Raises:
      JsslError: as `read_weights`, of what can be known without values; the others at
        `numpy.asarray` of an array.
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
    with contextlib.ExitStack() as stack:
        with _reading(path):
            if several:
                arrays = open_shards(path, lambda part: stack.enter_context(open_weights(part)))
            elif suffix == '.npz':
                archive = stack.enter_context(zipfile.ZipFile(path))
                arrays = _checked(path, open_npz(path, archive, check_kind))
            else:
                file = stack.enter_context(path.open('rb'))
                arrays = _checked(path, open_tensors(path, file, check_kind))
            if not arrays:
                raise ValueError('it holds no arrays')
        yield arrays


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the libraries raise far more at damaged bytes than they document
        raise JsslError(
            f'{path} could not be read as weights: {brief(error)}. Give a whole .safetensors or '
            '.npz file of floating-point arrays.'
        ) from error


def _checked(path: Path, arrays: Mapping[str, Unread]) -> dict[str, Unread]:
    """Arrays that have to be finite when they are read."""

    def read(name: str) -> np.ndarray:
        with _reading(path):
            array = arrays[name].load()
            check_finite({name: array})
        return array

    return {
        name: Unread(array.shape, functools.partial(read, name)) for name, array in arrays.items()
    }


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

    # It writes the memory of an array as it lies there.
    ordered = {name: np.asarray(array, order='C') for name, array in arrays.items()}
    with replacing(path) as part:
        part.touch(exist_ok=False)
        mode = part.stat().st_mode
        try:
            save_file(ordered, part, metadata=dict(metadata or {}))
        except SafetensorError as error:
            raise OSError(str(error)) from error
        with contextlib.suppress(OSError):  # of some network file systems
            part.chmod(mode)  # it makes a file that nobody else may read


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
