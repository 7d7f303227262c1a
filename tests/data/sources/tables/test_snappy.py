"""Parts of what Snappy compressed, beside pyarrow's whole."""

import numpy as np
import pyarrow as pa
import pytest

from jssl.data.sources.tables.snappy import BLOCK, block_places, framed

CODEC = pa.Codec('snappy')


@pytest.mark.parametrize('length', [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 100])
@pytest.mark.parametrize('noise', [1, 3, 256])
def test_every_block_is_compressed_data_of_its_own(length: int, noise: int) -> None:
    # The fewer levels, the more of it are copies of what lies before.
    levels = np.random.default_rng(0).integers(0, noise, length // 256 + 1, np.uint8)
    noisy = np.random.default_rng(1).integers(0, 256, length, np.uint8)
    data = (noisy if noise == 256 else levels.repeat(256)[:length]).tobytes()
    packed = CODEC.compress(data, asbytes=True)
    places = block_places(packed, length)
    assert places is not None
    assert len(places) == -(-length // BLOCK) + 1
    assert places[-1] == len(packed)
    for first in range(len(places) - 1):
        part = data[first * BLOCK : (first + 2) * BLOCK]
        last = min(first + 2, len(places) - 1)
        alone = framed(packed[places[first] : places[last]], len(part))
        assert CODEC.decompress(alone, len(part), asbytes=True) == part


def test_what_is_not_made_of_such_blocks_is_left_alone() -> None:
    easy = np.random.default_rng(0).integers(0, 256, 9000, np.uint8).repeat(8).tobytes()
    assert block_places(CODEC.compress(easy, asbytes=True), len(easy)) is None  # too many steps
    size = BLOCK + 10
    literal = bytes([62 << 2]) + (size - 1).to_bytes(3, 'little') + bytes(size)
    long = framed(literal, size)  # across the border
    assert CODEC.decompress(long, size, asbytes=True) == bytes(size)
    assert block_places(long, size) is None
    whole = bytes([61 << 2]) + (BLOCK - 1).to_bytes(2, 'little') + bytes(BLOCK)
    back = framed(whole + bytes([7 << 2 | 2]) + (100).to_bytes(2, 'little'), BLOCK + 8)
    assert CODEC.decompress(back, BLOCK + 8, asbytes=True) == bytes(BLOCK + 8)
    assert block_places(back, BLOCK + 8) is None  # its second block needs the first


@pytest.mark.parametrize('wrong', [b'', b'\x80', b'\x05', b'\x06abc', b'\x05\x10ab'])
def test_damaged_data_are_an_error(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r'.'):
        block_places(wrong + bytes(0), 5)
