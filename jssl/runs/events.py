"""TensorBoard's files of events, written here: their protocol buffers need a few lines of code.

A file is a chain of records: length, checksum, an `Event`, checksum. See TensorFlow's `TFRecord`
format, and `event.proto` and `summary.proto` of TensorBoard for the numbers of the fields.
"""

import errno
import functools
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

WALL_TIME, STEP, FILE_VERSION, SUMMARY, SESSION_LOG = 1, 2, 3, 5, 7  # fields of an Event
VALUE, TAG, SIMPLE_VALUE, STATUS = 1, 1, 2, 1  # of a Summary, its Value (twice), and a SessionLog
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5  # how a field is written
START = 1  # the status of a session that begins
VERSION = b'brain.Event:2'
CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, its lowest bit first


class EventsFile:
    """A new file of events in a directory; each is on disk when `write` or `start` returns.

    Attributes:
      path: of the file; TensorBoard finds it by the `tfevents` in its name.
    """

    def __init__(self, directory: Path) -> None:
        """Makes the file.

        Raises:
          OSError: it cannot be written.
        """
        now = time.time_ns()  # two runs that open one in the same second get two files
        name = f'events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}'
        self.path = directory / name
        self._file = self.path.open('xb', buffering=0)
        self._append(number(DOUBLE, WALL_TIME, time.time()) + text(FILE_VERSION, VERSION))

    def start(self, step: int, seconds: float) -> None:
        """Has TensorBoard hide what older files say of `step` and later; `seconds` are Unix's."""
        session = text(SESSION_LOG, number(VARINT, STATUS, START))
        self._append(number(DOUBLE, WALL_TIME, seconds) + number(VARINT, STEP, step) + session)

    def write(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Adds numbers by their tags, of a step and a Unix time."""
        scalars = b''.join(
            text(VALUE, text(TAG, tag.encode()) + number(FLOAT, SIMPLE_VALUE, value))
            for tag, value in values.items()
        )
        when = number(DOUBLE, WALL_TIME, seconds) + number(VARINT, STEP, step)
        self._append(when + text(SUMMARY, scalars))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _append(self, event: bytes) -> None:
        length = struct.pack('<Q', len(event))
        record = length + checksum(length) + event + checksum(event)
        if self._file.write(record) != len(record):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def number(kind: int, field: int, value: float) -> bytes:
    """A field of a message that is a number; a float beyond float32 becomes infinite."""
    tag = varint(field << 3 | kind)
    if kind == VARINT:
        return tag + varint(int(value))
    if kind == DOUBLE:
        return tag + struct.pack('<d', value)
    return tag + float32(value)


def float32(value: float) -> bytes:
    """Four bytes; infinite where the number is too large for them."""
    try:
        return struct.pack('<f', value)
    except OverflowError:
        return struct.pack('<f', float('inf') if value > 0 else float('-inf'))


def text(field: int, content: bytes) -> bytes:
    """A field of a message that is text, or a message itself."""
    return varint(field << 3 | BYTES) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A whole number, 0 or more, seven bits a byte, the lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def checksum(content: bytes) -> bytes:
    """The masked CRC-32C that stands before and behind the content of a record."""
    table, crc = crc_table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack('<I', ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@functools.cache
def crc_table() -> tuple[int, ...]:
    """What each byte does to a CRC-32C."""

    def entry(crc: int) -> int:
        for _ in range(8):
            crc = crc >> 1 ^ (CASTAGNOLI if crc & 1 else 0)
        return crc

    return tuple(map(entry, range(256)))
