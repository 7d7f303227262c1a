"""Arrays of a .npz file, none larger than the file says, each read when it is wanted."""

import functools
import math
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from jssl.weights.unread import Unread, read_values

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes
END = struct.Struct('<10xH10x')  # the record that ends an archive: the number of its entries,
MANY = 0xFFFF  # or that they are too many to be told there
ENCRYPTED = 0x1  # a flag of an entry
# Weights hardly shrink when they are compressed; only zeros do, of which a network has few.
MOST = 100  # times the bytes of the file that its arrays may have,
ALWAYS = 64 << 20  # or so many bytes
Check = Callable[[str, np.dtype, int], None]
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npz(path: Path, archive: zipfile.ZipFile, check: Check) -> dict[str, Unread]:
    """The arrays of a .npz file by name, in the byte order of the machine.

    Args:
      path: of the file.
      archive: the same, which has to be open as long as arrays are read.
      check: is told name, type and number of entries of each array before its values are read, and
        raises an error for one that is not wanted.

    Raises:
      ValueError: says what is wrong with which entry. Damaged bytes raise what zipfile, zlib and
        NumPy raise at them.
    """
    entries = archive.infolist()
    check_size(path, sum(entry.file_size for entry in entries))
    if _count(path, archive) not in (len(entries), MANY):
        raise ValueError('the list of its entries is damaged')
    arrays: dict[str, Unread] = {}
    for name, entry in [(_name(entry), entry) for entry in entries]:
        if name in arrays:
            raise ValueError(f'it holds {name!r} more than once')
        with archive.open(entry) as file:
            shape, _, _ = _header(file, name, entry.file_size, check)
        arrays[name] = Unread(shape, functools.partial(_read, archive, entry, name, check))
    return arrays


def _count(path: Path, archive: zipfile.ZipFile) -> int:
    """How many entries an archive says that it has; zipfile does not compare."""
    with path.open('rb') as file:
        file.seek(-END.size - len(archive.comment), os.SEEK_END)
        return END.unpack(file.read(END.size))[0]


def check_size(path: Path, size: int) -> None:
    """Refuses arrays of `size` bytes together where the file at `path` is far too small for them.

    Raises:
      ValueError: says both sizes.
    """
    there = path.stat().st_size
    if size > max(ALWAYS, MOST * there):
        raise ValueError(
            f'it is to hold {size / 1e6:,.0f} MB of arrays in {there / 1e6:,.3f} MB, and no '
            'weights can be compressed so much'
        )


def _name(entry: zipfile.ZipInfo) -> str:
    """The name of an array, of whose entry all is as NumPy writes it."""
    if not entry.filename.endswith('.npy'):
        raise ValueError(f'its entry {entry.filename!r} is no array of NumPy (.npy)')
    if entry.flag_bits & ENCRYPTED:
        raise ValueError(f'its entry {entry.filename!r} is encrypted')
    if entry.compress_type not in METHODS:
        raise ValueError(
            f'its entry {entry.filename!r} is compressed by method {entry.compress_type}, where '
            'numpy.savez has 0 and numpy.savez_compressed 8'
        )
    return entry.filename.removesuffix('.npy')


def _header(
    file: IO[bytes], name: str, size: int, check: Check
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type of an array in an entry of `size` bytes."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f'{name!r} has version {version} of the format, which is for structures')
    shape, fortran_order, dtype = HEADERS[version](file)
    count = math.prod(shape)
    check(name, dtype, count)
    if min(shape, default=0) < 0 or file.tell() + count * dtype.itemsize != size:
        raise ValueError(
            f'{name!r} says that it has shape {shape} of {dtype}, and has '
            f'{size - file.tell()} bytes'
        )
    return shape, fortran_order, dtype


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, check: Check) -> np.ndarray:
    with archive.open(entry) as file:
        shape, fortran_order, dtype = _header(file, name, entry.file_size, check)
        values = read_values(file, shape, dtype)
        file.read(1)  # at its end an entry's checksum is compared
    array = values.reshape(shape, order='F' if fortran_order else 'C')
    return array.astype(dtype.newbyteorder('='), copy=False)
