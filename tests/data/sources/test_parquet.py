"""Parquet files as a source: which files and columns, and what a run does with them."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jssl.data import Loader, Parquet
from jssl.data.loading.identity import Listing, difference
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import has_labels
from tests.checks import refused
from tests.conftest import ROOT
from tests.data.sources.written import (
    CLASSES,
    STRUCT,
    hub_table,
    image_table,
    level,
    pngs,
    write_parquet,
)

pytestmark = pytest.mark.usefixtures('cache')
COUNT = 10


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


def test_an_image_outside_the_table_is_told(tmp_path: Path) -> None:
    images = [{'bytes': None, 'path': '/data/cat.jpg'}, None, {'bytes': b'x', 'path': None}]
    source = Parquet(write_parquet(tmp_path / 'a.parquet', image_table(images, STRUCT)))
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
    with refused('several splits', 'train (1 file)', 'test (1 file)', 'split='):
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
    source = Parquet(write_parquet(tmp_path / 'a.parquet', image_table(images)))
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


def test_pyarrow_reads_the_same(one: str) -> None:
    told = pq.read_table(one).column('img').to_pylist()
    source = Parquet(one)
    assert [source[row]['image'] for row in range(COUNT)] == [row['bytes'] for row in told]
