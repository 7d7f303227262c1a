"""Images as a command line names them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jssl.cli.data import Once, described, source_of
from jssl.cli.parser import Parser
from jssl.data import TFDS, Folder, HuggingFace, ImageList, Parquet, WebDataset
from jssl.errors import JsslError
from tests.checks import refused
from tests.data.sources.written import hub_table, samples, save_to_disk, write_parquet, write_tar


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


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of Hugging Face, Parquet files and shards, each with two splits."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    for split, count in (('train', 5), ('test', 3)):
        save_to_disk(tmp_path / 'hf' / split, hub_table(count))
        write_parquet(tmp_path / f'parquet/{split}-00000-of-00001.parquet', hub_table(count))
        write_tar(tmp_path / f'webdataset/{split}-000.tar', samples(count))
    (tmp_path / 'hf' / 'dataset_dict.json').write_text('{"splits": ["train", "test"]}')
    return tmp_path


CLASSES = {'hf': HuggingFace, 'parquet': Parquet, 'webdataset': WebDataset}


@pytest.mark.parametrize('kind', CLASSES)
def test_tables_and_shards(kind: str, sets: Path) -> None:
    where = str(sets / kind)
    assert source_of(f'{kind}:{where}') == CLASSES[kind](where, split='train')
    test = source_of(f'{kind}:{where}', argument='--test_data', split='test')
    assert test == CLASSES[kind](where, split='test')
    chosen = source_of(f'{kind}:{where}?split=test&label=None')
    assert chosen == CLASSES[kind](where, split='test', label=None)
    assert (len(test), len(chosen)) == (3, 3)


def test_a_path_without_splits_has_none(sets: Path) -> None:
    one = f'{sets}/hf/test'
    assert described(f'hf:{one}') == dict(type='HuggingFace', path=one)
    file = f'{sets}/parquet/test-00000-of-00001.parquet'
    assert described(f'parquet:{file}?image=img') == dict(type='Parquet', path=file, image='img')
    (sets / 'a?b=c.parquet').write_bytes(Path(file).read_bytes())
    assert len(source_of(f'parquet:{sets}/a?b=c.parquet')) == 3
    assert len(source_of(f'webdataset:{sets}/webdataset/{{train,test}}-000.tar?split=train')) == 5


@pytest.mark.parametrize('query', ['imge=x', 'image', 'image=', 'path=x', '=x'])
def test_other_fields_are_refused_with_the_right_ones(query: str, sets: Path) -> None:
    with refused(f"'{query}' behind its question mark", "?label=NAME'", 'split'):
        source_of(f'parquet:{sets}/parquet?{query}')


def test_what_is_wrong_with_a_set_is_told_by_the_argument(sets: Path) -> None:
    with refused(f'--data=parquet:{sets}/parquet?image=x: the column', "'x'", 'img (struct'):
        source_of(f'parquet:{sets}/parquet?image=x')
    with refused('--data=hf:nowhere: there is no folder'):
        source_of('hf:nowhere')


def test_a_pattern_that_a_shell_took_apart_is_told() -> None:
    parser = Parser('jssl', None)
    parser.add_argument('--data', action=Once)
    with refused('--data is given twice', 'in quotes', "--data='webdataset:{00..12}.tar'"):
        parser.read(['--data=webdataset:0.tar', '--data=webdataset:1.tar'])
