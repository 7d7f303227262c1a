"""Images as a command line names them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jssl.cli.data import source_of
from jssl.data import TFDS, Folder, ImageList
from jssl.errors import JsslError
from tests.checks import refused


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name / 'it.png')
    (tmp_path / 'list.txt').write_text('a/it.png 0\nb/it.png 1\n')
    return tmp_path


def test_each_kind_is_the_source_of_its_name(photos: Path, digits_dir: str) -> None:
    assert source_of(f'folder:{photos}') == Folder(str(photos))
    assert source_of(f'list:{photos}/list.txt') == ImageList(f'{photos}/list.txt')
    whole = source_of('tfds:embedded_digits', split='test', data_dir=digits_dir)
    assert whole == TFDS('embedded_digits', 'test', digits_dir)
    part = source_of('tfds:embedded_digits/train[:4]', split='test', data_dir=digits_dir)
    assert len(part) == 4


@pytest.mark.parametrize(
    ('text', 'meant'),
    [
        ('photos', '--test_data=folder:photos?'),
        ('foldr:photos', "Did you mean 'folder'?"),
        ('folder:', 'folder:PATH'),
        ('tfds:/x', 'names no data set; write it as tfds:NAME'),
        ('tfds:x/', 'names no split; write it as tfds:NAME'),
    ],
)
def test_another_form_is_refused_with_the_right_one(text: str, meant: str) -> None:
    with refused(f'--test_data={text}', meant):
        source_of(text, argument='--test_data')


def test_a_kind_that_is_right_is_not_suggested() -> None:
    with pytest.raises(JsslError) as error:
        source_of('folder:')
    assert 'Did you mean' not in str(error.value)


def test_what_is_not_there_is_told_by_the_argument() -> None:
    with refused('--test_data=folder:nowhere: the folder', 'nowhere'):
        source_of('folder:nowhere', argument='--test_data')
