"""Where the record batches of an Arrow file lie, found without reading what is in them.

The format is Arrow's IPC: messages, each a header (a flatbuffer) and a body. pyarrow gives a batch
only whole, into memory or mapped, where a damaged file ends the process; so the few fields of the
header that say where the buffers of a column are get read here.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.fixed_file import FixedFile, Read
from jssl.data.sources.tables.table import damaged
from jssl.errors import JsslError

CONTINUED = b'\xff\xff\xff\xff'
MAGIC = b'ARROW1\0\0'  # what a file with a footer begins with; a stream has none
LARGEST_HEADER = 2**26
SCHEMA, DICTIONARY, BATCH = 1, 2, 3  # kinds of messages
NODE, BUFFER = 16, 16  # bytes


class Batch(NamedTuple):
    """The buffers of a record batch.

    Attributes:
      rows: how many it has.
      nodes: int64 (nodes, 2), length and number of nulls of every column and part of one.
      buffers: int64 (buffers, 2), place in the file and length.
    """

    rows: int
    nodes: NDArray[np.int64]
    buffers: NDArray[np.int64]


class Header:
    """A table of a flatbuffer: fields by number."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place
        self.fields = place - self.number('<i', place)
        self.size = self.number('<H', self.fields)

    def number(self, form: str, place: int) -> int:
        """The number that lies at a place; outside the data is an error."""
        if place < 0:
            raise ValueError('a place before the beginning')
        return int(struct.unpack_from(form, self.data, place)[0])

    def at(self, field: int) -> int | None:
        """Where a field lies; None where it has its default."""
        entry = 4 + 2 * field
        offset = self.number('<H', self.fields + entry) if entry < self.size else 0
        return self.place + offset if offset else None

    def value(self, field: int, form: str) -> int:
        """A number, 0 if it is left out."""
        place = self.at(field)
        return 0 if place is None else self.number(form, place)

    def inner(self, field: int) -> 'Header | None':
        """A table within this one."""
        place = self.at(field)
        return None if place is None else Header(self.data, place + self.number('<I', place))

    def pairs(self, field: int) -> NDArray[np.int64]:
        """A vector of pairs of 64-bit numbers, (n, 2)."""
        place = self.at(field)
        if place is None:
            return np.zeros((0, 2), np.int64)
        start = place + self.number('<I', place)
        count = self.number('<I', start)
        return np.frombuffer(self.data, '<i8', 2 * count, start + 4).reshape(-1, 2)


def read_messages(file: FixedFile) -> tuple[Any, list[Batch]]:
    """The schema of a file, or stream, and its record batches.

    Raises:
      JsslError: it is damaged, cut off, compressed, or none of Arrow.
    """
    import pyarrow as pa

    try:
        with file.opened() as read:
            messages = _messages(file, read)
            kind, header, _, raw = next(messages, (0, None, 0, b''))
            if kind != SCHEMA or header is None:
                raise JsslError(f'{file.path} is no file of Arrow; correct the path.')
            if header.value(0, '<h'):
                raise JsslError(f'{file.path} is big-endian; write it again on another machine.')
            schema = pa.ipc.read_schema(pa.py_buffer(raw))
            batches = [
                _batch(file, header, body)
                for kind, header, body, _ in messages
                if kind == BATCH and header is not None
            ]
    except JsslError:
        raise
    except (OSError, ValueError, struct.error, pa.ArrowException, OverflowError) as error:
        raise damaged(file.path, ' '.join(str(error).split())[:200]) from error
    return schema, batches


def _messages(file: FixedFile, read: Read) -> Iterator[tuple[int, Header | None, int, bytes]]:
    """The kind, header and place of the body of every message, and its bytes without the body."""
    place = len(MAGIC) if file.size >= len(MAGIC) and read(0, len(MAGIC)) == MAGIC else 0
    while place + 4 <= file.size:
        prefix = read(place, min(8, file.size - place))
        form = 8 if prefix.startswith(CONTINUED) else 4  # before Arrow 0.15 without those bytes
        length = int.from_bytes(prefix[form - 4 : form], 'little')
        if not length:
            return
        if length > LARGEST_HEADER:
            raise damaged(file.path, f'a header of {length:,} bytes')
        raw = read(place, form + length)
        body = place + form + length
        message = Header(raw[form:], int.from_bytes(raw[form : form + 4], 'little'))
        size = message.value(3, '<q')
        if size < 0 or body + size > file.size:
            raise JsslError(
                f'{file.path} is cut off: it has {file.size:,} bytes of {body + size:,} or more; '
                'copy it again.'
            )
        yield message.value(1, '<B'), message.inner(2), body, raw
        place = body + size


def _batch(file: FixedFile, header: Header, body: int) -> Batch:
    if header.at(3) is not None:
        raise JsslError(
            f'{file.path} is compressed, and its images cannot be read one by one; write it again '
            'with pyarrow.feather.write_feather(table, FILE, compression="uncompressed").'
        )
    rows, buffers = header.value(0, '<q'), header.pairs(2)
    room = file.size - body
    within = ((buffers >= 0) & (buffers <= room)).all() and (buffers.sum(axis=1) <= room).all()
    if not within or not 0 <= rows <= file.size:
        raise damaged(file.path, 'its buffers lie outside of it')
    return Batch(rows, header.pairs(1), buffers + np.array([body, 0]))
