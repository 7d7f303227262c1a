"""Files that are read in parts."""

import os
from pathlib import Path

import pytest

from jssl.data.sources.fixed_file import FixedFile
from tests.checks import refused


@pytest.fixture
def file(tmp_path: Path) -> FixedFile:
    (tmp_path / 'a').write_bytes(bytes(range(100)))
    return FixedFile.at(str(tmp_path / 'a'))


def test_parts(file: FixedFile) -> None:
    file.check()
    assert file.read(10, 3) == bytes([10, 11, 12])
    assert file.read(100, 0) == b''
    with file.opened() as read:
        assert read(0, 100) == bytes(range(100))


@pytest.mark.parametrize(('offset', 'length'), [(90, 11), (101, 0), (-1, 2), (5, -1), (0, 2**62)])
def test_parts_outside_are_refused_before_memory_is_taken(
    offset: int, length: int, file: FixedFile
) -> None:
    with refused(file.path, 'is cut off, or damaged', 'it has 100', 'copy it again'):
        file.read(offset, length)


def test_a_part_that_comes_in_pieces(file: FixedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr(os, 'pread', lambda fd, length, offset: pread(fd, min(length, 7), offset))
    assert file.read(1, 98) == bytes(range(1, 99))


def test_a_file_that_was_replaced_or_is_gone(file: FixedFile) -> None:
    os.utime(file.path, ns=(0, 5))
    with refused(f'{file.path} has changed since it was opened'):
        file.read(0, 1)
    with refused(f'{file.path} has changed since it was opened'):
        file.check()
    os.unlink(file.path)
    with refused(f'{file.path} has changed since it was opened'):
        file.check()
    with pytest.raises(FileNotFoundError):
        file.read(0, 1)


def test_what_is_known_of_a_file_has_a_name(file: FixedFile) -> None:
    assert file.digest(1, 'a') == file.digest(1, 'a')
    other = FixedFile(file.path, file.size, file.time + 1)
    assert len({file.digest(1, 'a'), file.digest(1, None), other.digest(1, 'a')}) == 3
    assert file.place('a') == other.place('a') != file.place('b')


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path, tmp_path / 'pipe'):
        with refused('is no file'):
            FixedFile.at(str(path))
    with refused('No such file'):
        FixedFile.at(str(tmp_path / 'gone'))
    with refused('null'):
        FixedFile.at('a\0b')
