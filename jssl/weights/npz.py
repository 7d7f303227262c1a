"""Arrays of a .npz file, none larger than the file says before it is read."""

import math
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

CHUNK = 1 << 20  # bytes that are decompressed at a time
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes
END = struct.Struct('<10xH10x')  # the record that ends an archive: the number of its entries,
MANY = 0xFFFF  # or that they are too many to be told there
ENCRYPTED = 0x1  # a flag of an entry
# Weights hardly shrink when they are compressed; only zeros do, of which a network has few.
MOST = 100  # times the bytes of the file that its arrays may have,
ALWAYS = 64 << 20  # or so many bytes
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, check: Callable[[str, np.dtype, int], None]) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name, in the byte order of the machine.

    Args:
      path: of the file.
      check: is told name, type and number of entries of each array before its values are read, and
        raises an error for one that is not wanted.

    Raises:
      ValueError: says what is wrong with which entry. Damaged bytes raise what zipfile, zlib and
        NumPy raise at them.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        check_size(path, sum(entry.file_size for entry in entries))
        if _count(path, archive) not in (len(entries), MANY):
            raise ValueError('the list of its entries is damaged')
        arrays: dict[str, np.ndarray] = {}
        for name, entry in [(_name(entry), entry) for entry in entries]:
            if name in arrays:
                raise ValueError(f'it holds {name!r} more than once')
            arrays[name] = _read(archive, entry, name, check)
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


def _read(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    name: str,
    check: Callable[[str, np.dtype, int], None],
) -> np.ndarray:
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(
                f'{name!r} has version {version} of the format, which is for structures'
            )
        shape, fortran_order, dtype = HEADERS[version](file)
        count = math.prod(shape)
        check(name, dtype, count)
        if min(shape, default=0) < 0 or file.tell() + count * dtype.itemsize != entry.file_size:
            raise ValueError(
                f'{name!r} says that it has shape {shape} of {dtype}, and has '
                f'{entry.file_size - file.tell()} bytes'
            )
        values = _values(file, dtype, count)
    array = values.reshape(shape, order='F' if fortran_order else 'C')
    return array.astype(dtype.newbyteorder('='), copy=False)


def _values(file: IO[bytes], dtype: np.dtype, count: int) -> np.ndarray:
    """All values, read piece by piece into their place: decompressed at once they are there twice.

    Raises:
      EOFError: there are fewer.
    """
    values = np.empty(count, dtype)
    place = values.view(np.uint8).data
    filled = 0
    while filled < len(place):
        read = file.readinto(place[filled : filled + CHUNK])  # type: ignore[attr-defined]
        if not read:
            raise EOFError('it ends within an array')
        filled += read
    file.read(1)  # at its end an entry's checksum is compared
    return values
