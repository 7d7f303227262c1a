"""Parquet files as a source, written by pyarrow in the ways that it and others choose."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jssl.data import Loader, Parquet
from jssl.data.loading.identity import Listing, difference
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import has_labels
from jssl.data.sources.tables.parquet_file import ParquetFile
from tests.checks import refused
from tests.conftest import ROOT
from tests.data.sources.written import (
    CLASSES,
    STRUCT,
    assert_mutations_end_well,
    features,
    hub_table,
    level,
    pngs,
    write_parquet,
)

COUNT = 10


def table(images: Sequence[Any], kind: pa.DataType | None = None, **columns: Any) -> pa.Table:
    return pa.table({'image': pa.array(images, kind or pa.binary()), **columns})


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is unpacked."""
    folder = tmp_path_factory.mktemp('cache')
    monkeypatch.setenv('XDG_CACHE_HOME', str(folder))
    return folder


@pytest.fixture
def one(tmp_path: Path) -> str:
    return write_parquet(tmp_path / 'one.parquet', hub_table(COUNT), row_group_size=4)


def test_a_table_of_the_hub(one: str) -> None:
    source = Parquet(one)
    assert len(source) == COUNT
    assert [level(source, row) for row in range(COUNT)] == list(range(COUNT))
    assert [source[row]['label'] for row in range(COUNT)] == [row % 3 for row in range(COUNT)]
    assert type(source[0]['label']) is int
    assert has_labels(source)
    assert (source.num_classes, source.label_names) == (3, CLASSES)
    assert source.name_of(9) == 'one.parquet row 9'
    assert source.remarks == []


@pytest.mark.parametrize('row', [-1, COUNT])
def test_a_row_that_is_not_there_is_an_error(one: str, row: int) -> None:
    with pytest.raises(IndexError, match=f'sample {row} of 10'):
        Parquet(one)[row]


VALUES: dict[str, Sequence[bytes | None]] = {
    'different': [np.random.default_rng(row).bytes(37 * row) for row in range(40)],
    'long': [np.random.default_rng(row).bytes(90_000) for row in range(12)],
    'repeated': [b'white' * 9, b'black' * 9] * 20,
    'null': [None if row % 3 else bytes([row]) * 50 for row in range(40)],
    'all null but one': [None] * 39 + [b'x'],
    'empty': [b''] * 3 + [b'y'],
    'easily compressed': [bytes([row]) * 30_000 for row in range(20)],
}
CODECS = ['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4']


@pytest.mark.parametrize('values', VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize('codec', CODECS)
def test_every_way_to_write_gives_the_bytes_that_were_written(
    codec: str, values: Sequence[bytes | None], tmp_path: Path
) -> None:
    ways = [
        ('1.0', True, 2**20, 1000, 1),  # pyarrow's own
        ('1.0', False, 2000, 7, 0),
        ('2.0', True, 2000, 7, 1),
        ('2.0', False, 2**20, 1000, 0),
    ]
    for number, (version, dictionary, page, group, struct) in enumerate(ways):
        kind = STRUCT if struct else pa.binary()
        images = [v if v is None or not struct else {'bytes': v} for v in values]
        path = write_parquet(
            tmp_path / f'{number}.parquet',
            table(images, kind),
            compression=codec,
            data_page_version=version,
            use_dictionary=dictionary,
            data_page_size=page,
            row_group_size=group,
        )
        source = Parquet(path)
        for row in reversed(range(len(values))):
            if values[row] is None:
                with refused('the image is missing (null)'):
                    source[row]
            else:
                assert source[row]['image'] == values[row]


def test_columns_that_cannot_be_null(tmp_path: Path) -> None:
    schema = pa.schema([pa.field('image', pa.large_binary(), nullable=False)])
    path = write_parquet(tmp_path / 'a.parquet', table(pngs(3)).cast(schema))
    assert [level(Parquet(path), row) for row in range(3)] == [0, 1, 2]


def test_an_image_outside_the_table_is_told(tmp_path: Path) -> None:
    images = [{'bytes': None, 'path': '/data/cat.jpg'}, None, {'bytes': b'x', 'path': None}]
    source = Parquet(write_parquet(tmp_path / 'a.parquet', table(images, STRUCT)))
    with refused('not in the table, only a path of one', 'save_to_disk'):
        source[0]
    with refused('missing (null)'):
        source[1]
    assert source[2]['image'] == b'x'


@pytest.mark.parametrize('pattern', ['', '*.parquet', '{a,b/c}.parquet', 'a.parquet'])
def test_several_files_are_one_table(pattern: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / 'a.parquet', hub_table(4))
    write_parquet(tmp_path / 'b/c.parquet', hub_table(6))
    source = Parquet(str(tmp_path / pattern))
    levels = [0, 1, 2, 3] if pattern in ('*.parquet', 'a.parquet') else [0, 1, 2, 3, *range(6)]
    assert [level(source, row) for row in range(len(source))] == levels
    if len(source) == 10:
        assert source.names() == [
            'a.parquet, 4 rows (img, label)',
            'b/c.parquet, 6 rows (img, label)',
        ]
        assert source.name_of(5) == 'b/c.parquet row 1'


def test_splits_are_told_from_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / 'data/train-00000-of-00001.parquet', hub_table(4))
    write_parquet(tmp_path / 'data/test-00000-of-00001-ab.parquet', hub_table(6))
    assert len(Parquet(str(tmp_path), split='train')) == 4
    assert len(Parquet(str(tmp_path), split='test')) == 6
    with refused('several splits', 'train (1 files)', 'test (1 files)', 'split='):
        Parquet(str(tmp_path))
    with refused("no split 'val'", 'split='):
        Parquet(str(tmp_path), split='val')


def test_the_column_is_the_only_one_or_the_one_that_is_named(tmp_path: Path) -> None:
    both = pa.table({'photo': pngs(2), 'mask': pngs(4)[2:], 'kind': [5, 7]})
    path = write_parquet(tmp_path / 'a.parquet', both)
    with refused('several columns that may hold images, photo, mask', 'image=photo'):
        Parquet(path)
    source = Parquet(path, image='mask', label='kind')
    assert [level(source, row) for row in range(2)] == [2, 3]
    assert (source[1]['label'], source.num_classes, source.label_names) == (7, 2, None)
    with refused("'masks'", 'not there', 'photo (binary)', "Did you mean 'mask'?"):
        Parquet(path, image='masks')
    with refused("'kind'", 'of the type int64'):
        Parquet(path, image='kind')
    with refused("no column 'knd'", 'kind (int64)', 'label=None'):
        Parquet(path, image='mask', label='knd')
    with refused("'photo'", 'of the type binary, and a label'):
        Parquet(path, image='mask', label='photo')
    write_parquet(tmp_path / 'b.parquet', both.select(['kind']))
    with refused('no column of images', 'kind (int64)', 'binary'):
        Parquet(str(tmp_path / 'b.parquet'))


LABELS: dict[str, tuple[pa.Array, list[int] | None, list[str] | None]] = {
    'texts': (pa.array(['b', 'a', 'b']), [1, 0, 1], ['a', 'b']),
    'dictionary': (pa.array(['b', 'a', 'b']).dictionary_encode(), [1, 0, 1], ['a', 'b']),
    'numbers': (pa.array([4, 0, 4], pa.uint8()), [4, 0, 4], None),
    'booleans': (pa.array([True, False, True]), [1, 0, 1], None),
    'null': (pa.array([1, None, 0]), None, None),
    'null texts': (pa.array(['a', None, 'b']), None, None),
    'minus one': (pa.array([-1, -1, -1]), None, None),
    'fractions, which are none': (pa.array([0.5, 1, 2]), None, None),
    'several each': (pa.array([[1], [2], [3]]), None, None),
}


@pytest.mark.parametrize(('labels', 'numbers', 'names'), LABELS.values(), ids=LABELS.keys())
def test_labels_are_whole_numbers_or_texts(
    labels: pa.Array, numbers: list[int] | None, names: list[str] | None, tmp_path: Path
) -> None:
    source = Parquet(write_parquet(tmp_path / 'a.parquet', table(pngs(3), label=labels)))
    assert (None if source.labels is None else source.labels.tolist()) == numbers
    assert source.has_labels == (numbers is not None)
    assert source.label_names == names
    assert ('label' in source[0]) == (numbers is not None)
    partly = labels.null_count > 0
    assert bool(source.remarks) == partly
    if partly:
        assert source.remarks[0].startswith('1 of 3 rows')
    assert not Parquet(source.path, label=None).has_labels


@pytest.mark.parametrize(
    ('labels', 'words'),
    [
        ([0, 2**40, 1], 'sample 1 of the data set has the label 1099511627776'),
        ([0, -7, 1], 'sample 1 of the data set has the label -7'),
        ([0, 1, 3], 'sample 2 has the label 3, and 3 classes have names'),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    labels: list[int], words: str, tmp_path: Path
) -> None:
    wrong = hub_table(3).set_column(2, 'label', pa.array(labels))
    source = Parquet(write_parquet(tmp_path / 'a.parquet', wrong))
    with refused(words):
        _ = source.labels


def test_the_only_class_that_is_declared_is_the_label(tmp_path: Path) -> None:
    renamed = hub_table(4).rename_columns(['id', 'img', 'fine'])
    said = features()[b'huggingface'].replace(b'"label"', b'"fine"')
    path = write_parquet(
        tmp_path / 'a.parquet', renamed.replace_schema_metadata({'huggingface': said})
    )
    assert Parquet(path).label_names == CLASSES


def test_files_with_other_classes_are_no_data_set(tmp_path: Path) -> None:
    write_parquet(tmp_path / 'a.parquet', hub_table(4))
    write_parquet(tmp_path / 'b.parquet', hub_table(4, names=['dog', 'cat', 'é']))
    with refused('b.parquet name other classes'):
        Parquet(str(tmp_path))


@pytest.mark.parametrize('where', ['nowhere.parquet', 'a-{0..3}.parquet', '*.parquet', '.'])
def test_files_that_are_not_there(where: str, tmp_path: Path) -> None:
    with refused('there is no', str(tmp_path)):
        Parquet(str(tmp_path / where))


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.parquet'
    for content in (b'', b'PAR1', b'\xff\xd8 no table', b'PAR1' + bytes(100) + b'PAR1'):
        path.write_bytes(content)
        with refused(str(path), 'copy it again'):
            Parquet(str(path))
    with refused('no rows'):
        Parquet(write_parquet(path, hub_table(0)))


def test_other_encodings_are_read(tmp_path: Path) -> None:
    for encoding in ('DELTA_LENGTH_BYTE_ARRAY', 'DELTA_BYTE_ARRAY'):
        options = dict(use_dictionary=False, column_encoding={'image': encoding})
        path = write_parquet(tmp_path / f'{encoding}.parquet', table(pngs(3)), **options)
        assert [level(Parquet(path), row) for row in range(3)] == [0, 1, 2]


def test_images_are_unpacked_once(one: str, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = Parquet(one)
    (unpacked,) = (cache / 'jssl/tables').iterdir()
    told = capfd.readouterr().err
    assert told == f'The images of {one} are unpacked once, into {unpacked.parent}: 0.0 MB.\n'
    before = unpacked.stat()
    assert Parquet(one, label=None)[3] == {'image': source[3]['image']}
    assert unpacked.stat() == before
    unpacked.write_bytes(unpacked.read_bytes()[:-200])
    with refused(f'{unpacked} has changed since it was opened; start again'):
        source[3]
    assert level(Parquet(one), 3) == 3
    assert capfd.readouterr().err == told


def test_what_killed_processes_leave_does_no_harm(one: str, cache: Path) -> None:
    source = Parquet(one)
    (unpacked,) = (cache / 'jssl/tables').iterdir()
    unpacked.unlink()
    with refused('has changed since it was opened; start again'):
        source[0]
    old, new = (unpacked.with_name(f'{unpacked.stem}.{name}.part') for name in ('old', 'new'))
    old.write_bytes(b'ARROW1')
    new.write_bytes(b'ARROW1')
    os.utime(old, (0, 0))
    assert level(Parquet(one), 5) == 5
    assert sorted(unpacked.parent.iterdir()) == sorted([unpacked, new])


def test_without_room_for_the_images_it_is_told_what_to_do(
    one: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remedy = 'choose another disk by export XDG_CACHE_HOME=FOLDER'
    with monkeypatch.context() as patch:
        patch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(9, 9, 0))
        with refused(one, str(cache), 'it needs 0.0 MB and 0.0 MB are free', remedy):
            Parquet(one)
    full = OSError(errno.ENOSPC, 'No space left on device')
    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', Mock(side_effect=full))
        with refused(one, 'No space left on device', remedy):
            Parquet(one)
    assert list((cache / 'jssl/tables').iterdir()) == []
    monkeypatch.setenv('XDG_CACHE_HOME', one)
    with refused('Not a directory', remedy):
        Parquet(one)


def test_it_pickles_and_reads_in_threads(one: str) -> None:
    source = Parquet(one)
    level(source, 0)
    rows = list(range(COUNT)) * 20
    with ThreadPoolExecutor(8) as pool:
        for copy in (source, pickle.loads(pickle.dumps(source))):
            assert list(pool.map(lambda row, copy=copy: level(copy, row), rows)) == rows
    assert len(pickle.dumps(source)) < 5000


def test_a_worker_process_reads_it(one: str) -> None:
    loader = Loader(Parquet(one), 5, 4, workers=1, threads=1)
    batches = loader.iterate()
    first = next(batches)
    batches.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first['canvas'].pixels[:, 0, 0, 0], first['index'])
    np.testing.assert_array_equal(first['label'], first['index'] % 3)


FORKED = """
import os, sys
from jssl.data import Parquet
source = Parquet(sys.argv[1])
image = source[7]['image']
child = os.fork()
if child == 0:
    os._exit(5 if source[7]['image'] == image else 6)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_reads_it(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / 'a.parquet', hub_table(COUNT), compression='zstd')
    done = subprocess.run(
        [sys.executable, '-c', FORKED, path], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.stdout == '5\n', done.stderr


def test_null_and_undecodable_images_are_bad_samples(tmp_path: Path) -> None:
    images = [*pngs(6), None, b'no image', b'']
    source = Parquet(write_parquet(tmp_path / 'a.parquet', table(images)))
    said: list[str] = []
    loader = Loader(source, 9, 4, threads=0, bad_samples=BadSamples(9, 1.0, said.append))
    assert set(loader[0]['canvas'].pixels[:, 0, 0, 0]) == set(range(6))
    assert len(said) == 3
    assert any("sample 6 ('a.parquet row 6'): the image is missing (null)" in line for line in said)


def test_a_file_that_changes_is_noticed(one: str) -> None:
    source = Parquet(one)
    before = Listing.of(source)
    assert before.identity == Listing.of(Parquet(one)).identity
    write_parquet(Path(one), hub_table(COUNT).slice(1))
    with refused(f'{one} has changed since it was opened; start again'):
        source[0]
    assert '10 samples then, 9 now' in difference(before, Listing.of(Parquet(one)))


def test_a_group_of_rows_does_not_come_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [np.random.default_rng(row).bytes(100_000) for row in range(200)]
    path = write_parquet(
        tmp_path / 'a.parquet', table(images), use_dictionary=False, write_batch_size=1
    )
    taken: list[int] = []
    before = pa.total_allocated_bytes()
    taking = Mock(side_effect=lambda size: taken.append(pa.total_allocated_bytes() - before))
    monkeypatch.setattr(ParquetFile, '_check_size', taking)
    source = Parquet(path)
    assert source[41]['image'] == images[41]
    assert len(taken) > 10
    assert 1_000_000 < max(taken) < 8_000_000  # of 20 MB


def test_images_that_grow_out_of_all_proportion_are_refused(tmp_path: Path) -> None:
    bomb = table([bytes(68_000_000)])
    options = dict(compression='zstd', use_dictionary=False, write_statistics=False)
    path = write_parquet(tmp_path / 'a.parquet', bomb, **options)
    with refused('damaged: 68,0', 'bytes that come from'):
        Parquet(path)


def test_one_image_that_stands_very_often_is_refused(tmp_path: Path, cache: Path) -> None:
    """Where the file says nothing of that, which is in a dictionary."""
    often = table([bytes(1_000_000)] * 200)
    path = write_parquet(tmp_path / 'a.parquet', often, compression='zstd')
    with refused('damaged: 80,0', 'bytes that come from'):
        Parquet(path)
    assert list((cache / 'jssl/tables').iterdir()) == []


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'compression': 'zstd', 'data_page_version': '2.0', 'use_dictionary': False},
        {'compression': 'none', 'row_group_size': 3},
    ],
    ids=['default', 'second version', 'plain'],
)
@pytest.mark.parametrize('label', ['label', 'id'])
def test_damaged_files_end_in_a_paragraph_or_in_images(
    options: dict[str, Any], label: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = Path(write_parquet(tmp_path / 'a.parquet', hub_table(8), **options))
    assert_mutations_end_well(path, lambda: Parquet(str(path), label=label), 70, capfd)


def test_pyarrow_reads_the_same(one: str) -> None:
    told = pq.read_table(one).column('img').to_pylist()
    source = Parquet(one)
    assert [source[row]['image'] for row in range(COUNT)] == [row['bytes'] for row in told]
