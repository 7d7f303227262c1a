"""Parquet files, written by pyarrow in the ways that it and others choose, and damaged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pytest

from jssl.data import Parquet
from jssl.data.sources.tables.parquet_file import ParquetFile
from tests.checks import refused
from tests.data.sources.written import (
    STRUCT,
    assert_mutations_end_well,
    hub_table,
    image_table,
    level,
    pngs,
    write_parquet,
)

pytestmark = pytest.mark.usefixtures('cache')


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
            image_table(images, kind),
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
    path = write_parquet(tmp_path / 'a.parquet', image_table(pngs(3)).cast(schema))
    assert [level(Parquet(path), row) for row in range(3)] == [0, 1, 2]


def test_other_encodings_are_read(tmp_path: Path) -> None:
    for encoding in ('DELTA_LENGTH_BYTE_ARRAY', 'DELTA_BYTE_ARRAY'):
        options = dict(use_dictionary=False, column_encoding={'image': encoding})
        path = write_parquet(tmp_path / f'{encoding}.parquet', image_table(pngs(3)), **options)
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


def test_a_group_of_rows_does_not_come_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [np.random.default_rng(row).bytes(100_000) for row in range(200)]
    path = write_parquet(
        tmp_path / 'a.parquet', image_table(images), use_dictionary=False, write_batch_size=1
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
    bomb = image_table([bytes(68_000_000)])
    options = dict(compression='zstd', use_dictionary=False, write_statistics=False)
    path = write_parquet(tmp_path / 'a.parquet', bomb, **options)
    with refused('damaged: 68,0', 'bytes that come from'):
        Parquet(path)


def test_one_image_that_stands_very_often_is_refused(tmp_path: Path, cache: Path) -> None:
    """Where the file says nothing of that, which is in a dictionary."""
    often = image_table([bytes(1_000_000)] * 200)
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
