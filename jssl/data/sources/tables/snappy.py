"""Parts of data that are compressed by Snappy, without the rest.

https://github.com/google/snappy/blob/main/format_description.txt. All writers compress 64 KiB at a
time, each by itself, so that some of these blocks are compressed data too.
"""

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.tables.hybrid import varint

BLOCK = 2**16
SPARE = 32  # bytes of an element on average at least, else finding the blocks takes too long


def block_places(data: bytes | memoryview, unpacked: int) -> NDArray[np.int64] | None:
    """Where each block begins, and where the last one ends: int64 (blocks + 1,).

    Args:
      data: compressed, as a whole.
      unpacked: how many bytes they are when decompressed.

    Returns:
      None where the blocks are not of one size, or need what lies before them, or are made of very
      many elements, as images are not.

    Raises:
      ValueError: the data are damaged.
    """
    length, place = varint(data, 0)
    if length != unpacked:
        raise ValueError('compressed data of another length')
    places, found = [place], 0
    left = 64 + unpacked // SPARE
    while found < unpacked and left:
        size, place, back = _element(data, place)
        if back > found % BLOCK or found % BLOCK + size > BLOCK:
            return None
        found, left = found + size, left - 1
        if found % BLOCK == 0 or found == unpacked:
            places.append(place)
    if place > len(data):
        raise ValueError('compressed data end too early')
    return np.array(places, np.int64) if found == unpacked else None


def _element(data: bytes | memoryview, place: int) -> tuple[int, int, int]:
    """How many bytes an element gives, where the next one is, and how far back it reaches."""
    if place >= len(data):
        raise ValueError('compressed data end too early')
    tag = data[place]
    kind, size = tag & 3, tag >> 2
    if kind:  # a copy
        width = (0, 1, 2, 4)[kind]
        back = int.from_bytes(data[place + 1 : place + 1 + width], 'little')
        if kind == 1:
            return (size & 7) + 4, place + 2, back + (tag >> 5 << 8)
        return size + 1, place + 1 + width, back
    place += 1
    if size >= 60:
        more = size - 59
        size = int.from_bytes(data[place : place + more], 'little')
        place += more
    return size + 1, place + size + 1, 0


def framed(blocks: bytes, size: int) -> bytes:
    """Blocks as data of their own.

    Args:
      blocks: some that lie one behind the other.
      size: how many bytes they are when decompressed.
    """
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([*length, size]) + blocks
