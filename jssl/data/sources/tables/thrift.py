"""Structs in Thrift's compact protocol, in which Parquet writes what a page holds.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from typing import Any

from jssl.data.sources.tables.hybrid import varint

TRUE, FALSE, BYTE, DOUBLE, BINARY, STRUCT = 1, 2, 3, 7, 8, 12
WHOLE = (4, 5, 6)  # 16, 32 and 64 bits
DEPTH = 8


def read_struct(data: bytes, place: int = 0, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The fields of a struct by number, and where it ends; of bytes and lists nothing is kept.

    Raises:
      ValueError: it is none, or ends too early.
    """
    if depth > DEPTH:
        raise ValueError('structs nested too deep')
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = _byte(data, place)
        place += 1
        if head == 0:
            return fields, place
        kind, step = head & 15, head >> 4
        if step:
            number += step
        else:
            written, place = varint(data, place)
            number = _signed(written)
        fields[number], place = _value(data, place, kind, depth)


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (TRUE, FALSE):
        return kind == TRUE, place
    if kind in WHOLE:
        written, place = varint(data, place)
        return _signed(written), place
    if kind == STRUCT:
        return read_struct(data, place, depth + 1)
    if kind in (BYTE, DOUBLE):
        return None, place + (1 if kind == BYTE else 8)
    if kind == BINARY:
        length, place = varint(data, place)
        if place + length > len(data):
            raise ValueError('bytes that end too early')
        return None, place + length
    raise ValueError(f'a value of the kind {kind}')


def _byte(data: bytes, place: int) -> int:
    if place >= len(data):
        raise ValueError('a struct that ends too early')
    return data[place]


def _signed(number: int) -> int:
    return number >> 1 ^ -(number & 1)
