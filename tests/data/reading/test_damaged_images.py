"""Images that are damaged, too large or made to do harm: a canvas, or the user's error."""

import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jssl.data.reading import decoding
from jssl.data.reading.decoding import decode
from jssl.errors import JsslError
from tests.checks import refused
from tests.data.reading.pictures import encoded, picture


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        sum_of = zlib.crc32(name + content)
        return struct.pack('>I', len(content)) + name + content + struct.pack('>I', sum_of)

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')


@pytest.mark.parametrize('size', [(2**31 - 1, 2**31 - 1), (20_000, 20_000)])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(size: tuple[int, ...]) -> None:
    with refused('cannot be decoded: Image size', 'exceeds limit'):
        decode(bomb(*size), 8)


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'GIF', 'BMP', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('keep', [0.0, 0.1, 0.5])
def test_truncated_bytes_are_refused(form: str, keep: float) -> None:
    data = encoded(picture(size=(64, 64)), form)
    with pytest.raises(JsslError, match=r'cannot be decoded: .*replace the file'):
        decode(data[: int(keep * len(data))], 64)


KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ('RGB', 'JPEG', {}),
    ('L', 'JPEG', {'progressive': True}),
    ('CMYK', 'JPEG', {}),
    ('RGB', 'PNG', {}),
    ('P', 'PNG', {'transparency': 3}),
    ('LA', 'PNG', {}),
    ('RGB', 'WEBP', {}),
    ('RGBA', 'WEBP', {'lossless': True}),
    ('RGB', 'TIFF', {}),
    ('RGB', 'TIFF', {'compression': 'tiff_lzw'}),
    ('RGB', 'TIFF', {'compression': 'jpeg'}),
    ('RGB', 'BMP', {}),
    ('P', 'GIF', {}),
    ('RGB', 'PPM', {}),
]
FILES = [encoded(picture(mode), form, **options) for mode, form, options in KINDS]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file with some bytes overwritten, most of them near its head, and perhaps cut short."""
    data = bytearray(draw(st.sampled_from(FILES)))
    reach = draw(st.sampled_from([60, len(data)]))
    places = st.integers(0, min(reach, len(data)) - 1)
    for place, byte in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        data[place] = byte
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


@pytest.mark.filterwarnings('ignore')  # Pillow's, about TIFF tags and large sizes
@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(damaged(), st.sampled_from([1, 3, 4]))
def test_any_damage_leaves_a_valid_canvas_or_the_user_s_error(data: bytes, channels: int) -> None:
    try:
        pixels, (height, width) = decode(data, 16, channels)
    except JsslError as error:
        assert '\n' not in str(error)  # noqa: PT017  either outcome is right
        return
    assert (pixels.dtype, pixels.shape) == (np.uint8, (16, 16, channels))
    assert 1 <= height <= 16
    assert 1 <= width <= 16
    assert not pixels[height:].any()
    assert not pixels[:, width:].any()


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_damaged_jpegs_are_the_same_with_and_without_the_extra_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut at every seventh byte, or with one byte changed: the same pixels or both refused."""
    draw = np.random.default_rng(0)
    seen = 0
    for options in (
        {'quality': 90},
        {'progressive': True},
        {'subsampling': 0, 'exif': b'Exif\0\0'},
    ):
        data = encoded(picture(size=(64, 48)), 'JPEG', **options)
        files = [data[:cut] for cut in range(2, len(data), 7)]
        for _ in range(600):
            changed = bytearray(data)
            changed[draw.integers(2, len(data))] = draw.integers(256)
            files.append(bytes(changed))
        for file in files:
            with monkeypatch.context() as patched:
                quick = outcome(file)
                patched.setattr(decoding, '_simplejpeg', lambda: None)
                assert outcome(file) == quick
        seen += len(files)
    assert seen > 2000


def outcome(data: bytes) -> tuple[bytes, tuple[int, int]] | str:
    try:
        pixels, size = decode(data, 64)
    except JsslError as error:
        return str(error)
    return pixels.tobytes(), size


@pytest.mark.slow
def test_a_small_file_of_many_pixels_takes_its_memory_once() -> None:
    """A PNG of 22 KB and 169 million pixels in four threads: 713 MB, not four times as much."""
    code = """
import io, resource
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from jssl.data.reading.decoding import decode, quiet
file = io.BytesIO()
Image.new('1', (13000, 13000)).save(file, 'PNG')
with quiet(), ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda _: decode(file.getvalue(), 64), range(4)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1100
    assert done.stderr == ''
