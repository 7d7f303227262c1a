"""Data sets of Hugging Face on disk: what `save_to_disk`, the cache and the hub leave there."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jssl.data import HuggingFace, Loader
from jssl.data.loading.identity import Listing, difference
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources.huggingface import splits_at
from tests.checks import refused
from tests.data.sources.written import (
    CLASSES,
    STRUCT,
    assert_mutations_end_well,
    hub_table,
    level,
    pngs,
    save_to_disk,
    write_parquet,
    write_stream,
)

COUNT = 10


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_to_disk(tmp_path / 'saved', hub_table(COUNT), shards=3)
    return tmp_path / 'saved'


def levels(source: HuggingFace) -> list[int]:
    return [level(source, row) for row in range(len(source))]


def test_what_save_to_disk_writes(saved: Path) -> None:
    source = HuggingFace(str(saved))
    assert levels(source) == list(range(COUNT))
    assert [source[row]['label'] for row in range(COUNT)] == [row % 3 for row in range(COUNT)]
    assert (source.num_classes, source.label_names) == (3, CLASSES)
    assert source.names()[2] == 'data-00002-of-00003.arrow, 2 rows (img, label)'
    assert source.name_of(5) == 'data-00001-of-00003.arrow row 1'
    assert splits_at(str(saved)) == []
    with refused('one data set without splits', 'leave split=train out'):
        HuggingFace(str(saved), split='train')


def test_several_splits(tmp_path: Path) -> None:
    for split, count in (('train', 6), ('test', 3)):
        save_to_disk(tmp_path / split, hub_table(count))
    (tmp_path / 'dataset_dict.json').write_text('{"splits": ["train", "test"]}')
    assert len(HuggingFace(str(tmp_path), split='train')) == 6
    assert len(HuggingFace(str(tmp_path / 'test'))) == 3
    assert splits_at(str(tmp_path)) == ['train', 'test']
    with refused('has the splits train, test; choose one, as split=train'):
        HuggingFace(str(tmp_path))
    with refused("no split 'tests'", "Did you mean 'test'?"):
        HuggingFace(str(tmp_path), split='tests')
    (tmp_path / 'dataset_dict.json').write_text('{"splits": ["train"]}')
    assert len(HuggingFace(str(tmp_path))) == 6


def test_the_cache_of_datasets(tmp_path: Path) -> None:
    write_stream(tmp_path / 'cifar10-train-00000-of-00002.arrow', hub_table(4))
    write_stream(tmp_path / 'cifar10-train-00001-of-00002.arrow', hub_table(3))
    write_stream(tmp_path / 'cifar10-test.arrow', hub_table(2))
    write_stream(tmp_path / 'cache-1f2e.arrow', hub_table(9))
    assert levels(HuggingFace(str(tmp_path), split='train')) == [0, 1, 2, 3, 0, 1, 2]
    assert len(HuggingFace(str(tmp_path), split='test')) == 2
    assert splits_at(str(tmp_path)) == ['test', 'train']


def test_the_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'unpacked'))
    for commit, count in (('aaaa', 4), ('bbbb', 6)):
        folder = tmp_path / 'snapshots' / commit / 'data'
        write_parquet(tmp_path / 'blobs' / commit, hub_table(count))
        folder.mkdir(parents=True)
        (folder / 'train-00000-of-00001.parquet').symlink_to(tmp_path / 'blobs' / commit)
    with refused('has 2 snapshots', str(tmp_path / 'snapshots' / 'aaaa')):
        HuggingFace(str(tmp_path))
    (tmp_path / 'refs').mkdir()
    (tmp_path / 'refs' / 'main').write_text('bbbb\n')
    assert len(HuggingFace(str(tmp_path))) == 6
    assert len(HuggingFace(str(tmp_path / 'snapshots' / 'aaaa'), split='train')) == 4


def test_a_name_of_the_hub_is_told_how_to_get_here() -> None:
    with refused("load_dataset('uoft-cs/cifar10').save_to_disk('FOLDER')"):
        HuggingFace('uoft-cs/cifar10')


def test_a_folder_of_something_else_is_told_what_it_may_be(tmp_path: Path) -> None:
    with refused('no data set of Hugging Face', f'--data=folder:{tmp_path}', '--data=webdataset:'):
        HuggingFace(str(tmp_path))


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('', 'cannot be read'),
        ('[]', 'it holds no object'),
        ('[' * 100_000, 'cannot be read'),
        ('{}', 'does not list its files'),
        ('{"_data_files": []}', 'does not list its files'),
        ('{"_data_files": ["a"]}', 'does not list its files'),
        ('{"_data_files": [{"filename": "../other.arrow"}]}', 'does not list its files'),
        ('{"_data_files": [{"filename": "/etc/passwd"}]}', 'does not list its files'),
        ('{"_data_files": [{"filename": "gone.arrow"}]}', 'gone.arrow'),
        ('{"_indices_data_files": [{"filename": "i.arrow"}]}', 'save it again'),
    ],
)
def test_a_state_that_cannot_be_used_is_refused(content: str, words: str, saved: Path) -> None:
    (saved / 'state.json').write_text(content)
    with refused(words):
        HuggingFace(str(saved))


@pytest.mark.parametrize('splits', ['[]', '["../x"]', '["a/b"]', '[3]', '"train"'])
def test_splits_that_are_no_folders_are_refused(splits: str, tmp_path: Path) -> None:
    (tmp_path / 'dataset_dict.json').write_text(f'{{"splits": {splits}}}')
    with refused('does not list its splits'):
        HuggingFace(str(tmp_path))


def with_columns(*kinds: pa.DataType, count: int = 5) -> pa.Table:
    """Images behind a column of each type, some of whose values are null."""
    values: dict[Any, Callable[[int], Any]] = {
        pa.null(): lambda row: None,
        pa.bool_(): bool,
        pa.float64(): float,
        pa.list_(pa.int8()): lambda row: [1] * row,
        pa.list_(pa.int8(), 2): lambda row: [row, row],
        pa.large_list(pa.string()): lambda row: ['a'] * row,
        pa.map_(pa.string(), pa.int8()): lambda row: [('k', row)],
        pa.struct([('a', pa.list_(pa.int8())), ('b', pa.binary())]): lambda row: {'a': [row]},
        pa.timestamp('us'): lambda row: row,
        pa.decimal128(9): lambda row: row,
        pa.binary(3): lambda row: b'abc',
        pa.large_string(): str,
        pa.string_view(): str,
    }
    columns = {
        f'c{n}': pa.array([None if row == 1 else values[kind](row) for row in range(count)], kind)
        for n, kind in enumerate(kinds or values)
    }
    dictionary = pa.array([str(row) for row in range(count)]).dictionary_encode()
    images = pa.array([{'bytes': data} for data in pngs(count)], STRUCT)
    return pa.table({**columns, 'dictionary': dictionary, 'image': images})


@pytest.mark.parametrize('footer', [False, True])
def test_images_are_found_behind_columns_of_any_type(footer: bool, tmp_path: Path) -> None:
    table, path = with_columns(), tmp_path / 'a.arrow'
    with (pa.ipc.new_file if footer else pa.ipc.new_stream)(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    assert levels(HuggingFace(str(tmp_path))) == list(range(5))
    labels = HuggingFace(str(tmp_path), label='dictionary').labels
    assert labels is not None
    assert labels.tolist() == list(range(5))


def test_plain_bytes_and_large_ones_and_null(tmp_path: Path) -> None:
    table = pa.table({'image': pa.array([*pngs(2), None, b''], pa.large_binary())})
    write_stream(tmp_path / 'a.arrow', table.slice(1), batch=2)
    source = HuggingFace(str(tmp_path))
    assert level(source, 0) == 1
    assert source[2]['image'] == b''
    with refused('the image is missing (null)'):
        source[1]


def test_an_image_outside_the_table_is_told(tmp_path: Path) -> None:
    images = pa.array([{'bytes': None, 'path': '/cat.jpg'}, None, {'bytes': b'x'}], STRUCT)
    write_stream(tmp_path / 'a.arrow', pa.table({'image': images}))
    source = HuggingFace(str(tmp_path))
    with refused('not in the table, only a path of one', 'save_to_disk'):
        source[0]
    with refused('missing (null)'):
        source[1]


@pytest.mark.parametrize(
    ('kind', 'numbers', 'names'),
    [
        (pa.string(), [1, 0, 1], ['a', 'b']),
        (pa.large_string(), [1, 0, 1], ['a', 'b']),
        (pa.bool_(), [1, 0, 1], None),
        (pa.int8(), [1, 0, 1], None),
    ],
)
def test_labels_of_every_type(
    kind: pa.DataType, numbers: list[int], names: list[str] | None, tmp_path: Path
) -> None:
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    values = pa.array(['b', 'a', 'b'] if text else [1, 0, 1]).cast(kind)
    write_stream(tmp_path / 'a.arrow', pa.table({'image': pngs(3), 'label': values}), batch=2)
    source = HuggingFace(str(tmp_path))
    assert source.labels is not None
    assert (source.labels.tolist(), source.label_names) == (numbers, names)


def test_compressed_files_are_refused_with_the_remedy(tmp_path: Path) -> None:
    table, options = hub_table(4), pa.ipc.IpcWriteOptions(compression='zstd')
    with pa.ipc.new_stream(str(tmp_path / 'a.arrow'), table.schema, options=options) as writer:
        writer.write_table(table)
    with refused('is compressed', 'uncompressed'):
        HuggingFace(str(tmp_path))


def test_a_file_that_is_cut_off_is_refused(saved: Path) -> None:
    path = saved / 'data-00001-of-00003.arrow'
    whole = path.read_bytes()
    for length in (len(whole) - 600, len(whole) // 2, 100, 5):
        path.write_bytes(whole[:length])
        with refused(str(path), 'copy it again'):
            HuggingFace(str(saved))
    path.write_bytes(whole[:-600])
    with refused('is cut off'):
        HuggingFace(str(saved))


def test_a_file_that_is_cut_during_a_run_costs_its_images(saved: Path) -> None:
    """Without a look before each image the process would end at once."""
    source = HuggingFace(str(saved))
    assert source.has_labels
    path = saved / 'data-00001-of-00003.arrow'
    path.write_bytes(path.read_bytes()[:100])
    said: list[str] = []
    loader = Loader(source, COUNT, 4, threads=0, bad_samples=BadSamples(COUNT, 1.0, said.append))
    assert set(loader[0]['canvas'].pixels[:, 0, 0, 0]) == {0, 1, 2, 3, 8, 9}
    assert len(said) == 4
    assert 'has changed since it was opened' in said[0]


def test_a_shard_that_changed_is_noticed(saved: Path) -> None:
    before = Listing.of(HuggingFace(str(saved)))
    write_stream(saved / 'data-00001-of-00003.arrow', hub_table(8).slice(4))
    after = Listing.of(HuggingFace(str(saved)))
    assert before.identity['names'] == after.identity['names']
    assert before.identity != after.identity
    assert "such as 'data-00001-of-00003.arrow, 4 rows" in difference(before, after)


def test_it_pickles(saved: Path) -> None:
    source = pickle.loads(pickle.dumps(HuggingFace(str(saved))))
    assert levels(source) == list(range(COUNT))
    assert source == HuggingFace(str(saved))


def test_labels_of_a_batch_stay_with_their_images(saved: Path) -> None:
    batch = Loader(HuggingFace(str(saved)), 5, 4, threads=2)[0]
    np.testing.assert_array_equal(batch['label'], batch['canvas'].pixels[:, 0, 0, 0] % 3)


@pytest.mark.parametrize('label', ['label', 'id'])
def test_damaged_files_end_in_a_paragraph_or_in_images(
    label: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_to_disk(tmp_path, hub_table(8), batch=3)
    path = tmp_path / 'data-00000-of-00001.arrow'
    assert_mutations_end_well(path, lambda: HuggingFace(str(tmp_path), label=label), 140, capfd)


def test_what_datasets_itself_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip('datasets', reason='datasets is not installed')
    columns = datasets.Features({'img': datasets.Image(), 'label': datasets.ClassLabel(3, CLASSES)})
    rows = {'img': [{'bytes': data} for data in pngs(7)], 'label': [row % 3 for row in range(7)]}
    datasets.Dataset.from_dict(rows, columns).save_to_disk(str(tmp_path), num_shards=2)
    source = HuggingFace(str(tmp_path))
    assert levels(source) == list(range(7))
    assert source.label_names == CLASSES
    assert json.loads((tmp_path / 'state.json').read_text())['_data_files']
