"""Files written whole, and never through somebody's link."""

import contextlib
import os
from pathlib import Path

import pytest

from jssl.files import replace_file, replacing


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / 'precious').write_bytes(b'precious')
    (tmp_path / 'x').symlink_to(tmp_path / 'precious')
    replace_file(tmp_path / 'x', b'new')
    assert (tmp_path / 'precious').read_bytes() == b'precious'
    assert (tmp_path / 'x').read_bytes() == b'new'
    assert not (tmp_path / 'x').is_symlink()


def test_what_killed_processes_left_is_in_nobodys_way_and_removed_an_hour_later(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / 'x[1].old.part', tmp_path / 'x[1].new.part'
    for left in (old, new):
        left.write_bytes(b'half of it and more')
    os.utime(old, (0, 0))
    replace_file(tmp_path / 'x[1]', b'new')
    assert sorted(tmp_path.iterdir()) == sorted([new, tmp_path / 'x[1]'])
    assert (tmp_path / 'x[1]').read_bytes() == b'new'


def test_of_two_that_write_one_file_the_last_stays(tmp_path: Path) -> None:
    path = tmp_path / 'x'
    with replacing(path) as one, replacing(path) as other:
        one.write_bytes(b'one')
        other.write_bytes(b'other')
    assert path.read_bytes() == b'one'
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / 'x').write_bytes(b'before')
    with contextlib.suppress(KeyboardInterrupt), replacing(tmp_path / 'x') as part:
        part.write_bytes(b'half')
        raise KeyboardInterrupt
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b'before']


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'x').mkdir()
    with pytest.raises(OSError, match='directory'):
        replace_file(tmp_path / 'x', b'new')
    assert [path.name for path in tmp_path.iterdir()] == ['x']
