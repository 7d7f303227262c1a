"""Parquet's runs of small numbers: levels that say what is null, and numbers in a dictionary.

https://parquet.apache.org/docs/file-format/data-pages/encodings, "Run Length Encoding / Bit-Packing
Hybrid": a run is one value many times over, or groups of eight values of some bits each.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

WIDEST = 32  # bits


@dataclasses.dataclass(frozen=True, eq=False)
class Runs:
    """Values of which many in a row are the same.

    Attributes:
      stops: int64 (n,), how many values there are up to the end of each run.
      values: int64 (n,).
    """

    stops: NDArray[np.int64]
    values: NDArray[np.int64]

    @classmethod
    def of(cls, value: int, count: int) -> 'Runs':
        """One value, `count` times."""
        return cls(np.array([count], np.int64), np.array([value], np.int64))

    def __getitem__(self, row: int) -> int:
        return int(self.values[np.searchsorted(self.stops, row, 'right')])

    def before(self, row: int, value: int) -> int:
        """How many of the values before `row` are `value`."""
        stops = np.minimum(self.stops, row)
        return int(np.diff(stops, prepend=0)[self.values == value].sum())


def read_runs(data: memoryview, width: int, count: int) -> Runs:
    """The first `count` values.

    Args:
      data: runs, one after another.
      width: bits of a value.
      count: of the values.

    Raises:
      ValueError: the data end before, or are no runs.
    """
    if not 0 <= width <= WIDEST:
        raise ValueError(f'values of {width} bits')
    stops: list[NDArray[np.int64]] = []
    values: list[NDArray[np.int64]] = []
    place, found, size = 0, 0, -(-width // 8)
    while found < count:
        header, place = varint(data, place)
        length = header >> 1
        if not length:
            raise ValueError('a run of no values')
        if header & 1:
            stop = place + length * width
            bits = np.frombuffer(data[place : min(stop, len(data))], np.uint8)
            several = _unpacked(bits, width, min(8 * length, count - found))
            stops.append(found + 1 + np.arange(len(several)))
            found, place = found + len(several), stop
            values.append(several)
            continue
        if place + size > len(data):
            raise ValueError('a run ends too early')
        several = np.array([int.from_bytes(data[place : place + size], 'little')])
        found, place = min(found + length, count), place + size
        stops.append(np.array([found]))
        values.append(several)
    empty = np.zeros(0, np.int64)
    return Runs(np.concatenate([empty, *stops]), np.concatenate([empty, *values]))


def _unpacked(data: NDArray[np.uint8], width: int, count: int) -> NDArray[np.int64]:
    """Numbers of `width` bits each, the lowest bit first."""
    if width * count > 8 * len(data):
        raise ValueError('a run ends too early')
    if not width:
        return np.zeros(count, np.int64)
    bits = np.unpackbits(data, count=width * count, bitorder='little').reshape(count, width)
    return bits @ (1 << np.arange(width, dtype=np.int64))


def varint(data: memoryview | bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends.

    Raises:
      ValueError: it does not end, or has more than 64 bits.
    """
    number = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
    raise ValueError('a number does not end')
