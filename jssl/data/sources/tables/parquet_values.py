"""Values of bytes within a page of a Parquet file, of which one is read without the others."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.fixed_file import Read
from jssl.data.sources.tables.page_cache import CACHE
from jssl.data.sources.tables.snappy import BLOCK, block_places, framed

SNAPPY = 'snappy'


class Body(NamedTuple):
    """Bytes of a file that are compressed as one.

    Attributes:
      start: where they lie.
      size: how many they are.
      unpacked: how many they are when decompressed.
      codec: in pyarrow's words; None for none.
    """

    start: int
    size: int
    unpacked: int
    codec: str | None


class Values(NamedTuple):
    """Where values lie.

    Attributes:
      body: that they are in.
      starts: int64 (N,), of each value in the decompressed body.
      stops: int64 (N,), its end there.
      blocks: int64 (blocks + 1,), where in the file each part of `BLOCK` bytes begins; None where
        the body can only be decompressed as a whole.
    """

    body: Body
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    blocks: NDArray[np.int64] | None


def unpack(body: Body, raw: bytes) -> bytes:
    """The decompressed bytes.

    Raises:
      ValueError: they are damaged.
    """
    import pyarrow as pa

    if body.codec is None:
        return raw
    if not body.unpacked:
        return b''
    try:
        return pa.Codec(body.codec).decompress(raw, body.unpacked, asbytes=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)[:200]) from error


def find_values(body: Body, raw: bytes, data: bytes, start: int, count: int) -> Values:
    """The places of values, each behind its length in four bytes.

    Args:
      body: as it lies in the file.
      raw: its bytes.
      data: the same, decompressed.
      start: of the first value in `data`.
      count: of the values.

    Raises:
      ValueError: they end behind the data.
    """
    starts, stops = [], []
    stop = start
    for _ in range(count):
        start = stop + 4
        stop = start + int.from_bytes(data[stop:start], 'little')
        if start > len(data) or stop > len(data):
            raise ValueError('an image ends behind its page')
        starts.append(start)
        stops.append(stop)
    blocks = block_places(raw, body.unpacked) if body.codec == SNAPPY and count else None
    return Values(
        body,
        np.array(starts, np.int64),
        np.array(stops, np.int64),
        None if blocks is None else blocks + body.start,
    )


def read_value(read: Read, values: Values, row: int, file: Any) -> bytes:
    """One value.

    Args:
      read: of the file.
      values: of a page.
      row: which of them.
      file: names the file, for what is kept of bodies that are decompressed as a whole.

    Raises:
      ValueError: the file is damaged.
    """
    start, stop, body = int(values.starts[row]), int(values.stops[row]), values.body
    if start == stop:
        return b''
    if body.codec is None:
        return read(body.start + start, stop - start)
    if values.blocks is None:

        def whole() -> tuple[bytes, int]:
            with CACHE.turn(body.unpacked):
                return unpack(body, read(body.start, body.size)), body.unpacked

        return CACHE.get((file, body.start), whole)[start:stop]
    first, last = start // BLOCK, -(-stop // BLOCK)
    place, end = int(values.blocks[first]), int(values.blocks[last])
    size = min(last * BLOCK, body.unpacked) - first * BLOCK
    raw = framed(read(place, end - place), size)
    part = unpack(body._replace(unpacked=size), raw)
    return part[start - first * BLOCK : stop - first * BLOCK]
