"""What is said of images that can be read and yet are not what their owner thinks."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jssl.data.reading.remarks import remarks
from jssl.data.sources import Arrays, Folder

GREY = np.full((30, 40, 3), 128, np.uint8)


def png(levels: np.ndarray) -> Any:
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, 'PNG')
    return stream.getvalue()


def test_usual_images_are_no_matter() -> None:
    assert remarks(Arrays([GREY] * 3), 32) == []
    assert remarks(Arrays([np.zeros_like(GREY)] * 15 + [GREY]), 32) == []


def test_twelve_bits_in_sixteen_are_said_with_their_brightest_level() -> None:
    dark = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    expected = 'the brightest level of the first 3 images is 15 of 255, so they are nearly black; '
    (line,) = remarks(Arrays([png(dark)] * 3), 8)
    assert line.startswith(expected)
    assert remarks(Arrays([png(dark * 16)] * 3), 8) == []


def test_arrays_of_0_and_1_are_said_for_any_channels() -> None:
    for channels in (1, 3, 4):
        (line,) = remarks(Arrays([GREY[..., 0] // 128] * 20), 64, channels)
        assert 'of the first 16 images is 1 of 255' in line


def test_photographs_that_shrink_to_little_are_said_with_an_example(tmp_path: Path) -> None:
    for number, size in enumerate([(640, 480), (4000, 100), (30, 30)]):
        Image.new('RGB', size, 'white').save(tmp_path / f'{number}.png')
    (line,) = remarks(Folder(str(tmp_path)), 64)
    assert line == (
        '2 of the first 3 images are shrunk 4 times or more to fit config.canvas=64, such as '
        "sample 1 ('1.png') from 4000x100 to 64x2 pixels; raise config.canvas if what is lost "
        'matters.'
    )
    assert remarks(Arrays([np.full((640, 480), 255, np.uint8)]), 64)


def test_photographs_of_which_as_much_is_left_as_a_network_sees_are_no_matter() -> None:
    photo, panorama = (np.full(shape, 255, np.uint8) for shape in ((640, 480), (100, 4000)))
    assert remarks(Arrays([photo]), 64, seen=48) == []
    assert remarks(Arrays([photo]), 64, seen=49)
    (line,) = remarks(Arrays([photo, panorama]), 64, seen=28)
    assert line.startswith('1 of the first 2 images')
    assert 'from 4000x100 to 64x2' in line


def test_what_the_source_remarks_comes_first_and_broken_images_do_not_matter(
    tmp_path: Path,
) -> None:
    for name in ('1.heic', 'a.png', 'b.png'):
        (tmp_path / name).write_bytes(b'')
    Image.fromarray(GREY // 128).save(tmp_path / 'c.png')
    heic, dark = remarks(Folder(str(tmp_path)), 64)
    assert '1 .heic files' in heic
    assert 'of the first 1 images is 1' in dark
