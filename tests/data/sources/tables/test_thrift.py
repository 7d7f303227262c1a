"""Structs in the compact protocol."""

import pytest

from jssl.data.sources.tables.thrift import DEPTH, read_struct


def test_fields_of_every_kind() -> None:
    data = bytes(
        [
            *(0x15, 0x05),  # field 1: -3
            *(0x05, 0x28, 0x80, 0x02),  # field 20, written out: 128
            *(0x11, 0x12),  # fields 21 and 22: true, false
            *(0x18, 0x03, 97, 98, 99),  # field 23: bytes
            *(0x1C, 0x15, 0x02, 0x00),  # field 24: a struct
            *(0x13, 0xFF, 0x17, *range(8)),  # fields 25, 26: a byte, a double
            0x00,
        ]
    )
    fields, end = read_struct(data)
    assert fields == {
        1: -3, 20: 128, 21: True, 22: False, 23: None, 24: {1: 1}, 25: None, 26: None
    }  # fmt: skip
    assert end == len(data)


@pytest.mark.parametrize(
    'data', [b'', b'\x15', b'\x18\x7f', b'\x1f\x00', b'\x19\x00', b'\x1c' * (DEPTH + 2)]
)
def test_what_is_no_struct_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r'.'):
        read_struct(data)
