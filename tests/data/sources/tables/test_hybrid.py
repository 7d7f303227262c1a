"""Runs of small numbers, as the description of the format has them."""

import numpy as np
import pytest

from jssl.data.sources.tables.hybrid import Runs, read_runs, varint


def test_the_example_of_the_format() -> None:
    """The numbers 0 to 7 in three bits each are 88 C6 FA in the description."""
    runs = read_runs(memoryview(bytes([1 << 1 | 1, 0x88, 0xC6, 0xFA])), 3, 8)
    assert [runs[row] for row in range(8)] == list(range(8))
    assert [runs.before(row, 5) for row in (5, 6, 8)] == [0, 1, 1]


def test_runs_of_both_kinds_one_after_the_other() -> None:
    data = bytes([100 << 1 & 127 | 128, 1, 7, 1 << 1 | 1, 0xFF, 0x0F, 0, 3 << 1, 2])
    runs = read_runs(memoryview(data), 3, 111)
    expected = [7] * 100 + [7, 7, 7, 7, 0, 0, 0, 0] + [2] * 3
    assert [runs[row] for row in range(111)] == expected
    assert [runs.before(row, 7) for row in range(111)] == np.cumsum(
        [0, *(value == 7 for value in expected[:-1])]
    ).tolist()


def test_one_value_takes_no_memory() -> None:
    many = bytes([0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 9])
    runs = read_runs(memoryview(many), 4, 2**31 - 1)
    assert runs[2**31 - 2] == 9
    assert len(runs.stops) == 1
    assert Runs.of(0, 5).before(5, 0) == 5
    assert read_runs(memoryview(b'\x07'), 0, 20)[19] == 0  # of no bits


@pytest.mark.parametrize('data', [b'', b'\x00', b'\x80', b'\x03\x01', b'\x08'])
@pytest.mark.parametrize('width', [9, 33])
def test_runs_that_end_too_early(data: bytes, width: int) -> None:
    with pytest.raises(ValueError, match=r'.'):
        read_runs(memoryview(data), width, 8)


def test_numbers_of_seven_bits_a_byte() -> None:
    assert varint(bytes([0x80 | 5, 2]), 0) == (5 + 2 * 128, 2)
    with pytest.raises(ValueError, match='does not end'):
        varint(b'\xff' * 20, 0)
