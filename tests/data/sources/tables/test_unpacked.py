"""What Parquet files are unpacked into is written whole or not at all, and removed in the end."""

import errno
import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from jssl.data import Parquet
from tests.checks import refused
from tests.data.sources.written import hub_table, level, write_parquet

pytestmark = pytest.mark.usefixtures('cache')


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


def test_what_a_changed_file_was_unpacked_into_is_removed_later(one: str, cache: Path) -> None:
    others = write_parquet(Path(one).with_name('two.parquet'), hub_table(2))
    assert [len(Parquet(path)) for path in (one, others)] == [10, 2]
    kept = set((cache / 'jssl/tables').iterdir())
    write_parquet(Path(one), hub_table(3))
    assert len(Parquet(one)) == 3
    young = set((cache / 'jssl/tables').iterdir())
    assert young > kept
    for file in young:
        os.utime(file, (0, 0))
    write_parquet(Path(one), hub_table(4))
    assert level(Parquet(one), 3) == 3
    left = set((cache / 'jssl/tables').iterdir())
    assert (len(left), len(left & kept)) == (2, 1)  # the newest, and that of the other file
    assert level(Parquet(others), 1) == 1
