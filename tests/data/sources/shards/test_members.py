"""Headers of tar archives, beside Python's own `tarfile`."""

import io
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from jssl.data.sources.fixed_file import FixedFile
from jssl.data.sources.shards.members import list_members
from tests.checks import refused

FORMS = {'ustar': tarfile.USTAR_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'pax': tarfile.PAX_FORMAT}


@pytest.mark.parametrize('form', FORMS.values(), ids=FORMS.keys())
def test_members_are_those_that_tarfile_finds(form: int, tmp_path: Path) -> None:
    path = tmp_path / 'a.tar'
    with tarfile.open(path, 'w', format=form, pax_headers={'comment': 'about all'}) as archive:
        for number, name in enumerate(['a', 'b/' + 'c' * 90, 'd/' * 60 + 'e', 'é', 'f' * 99]):
            header = tarfile.TarInfo(name)
            header.size, header.mtime = 300 * number, 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(header, io.BytesIO(bytes(header.size)))
        folder = tarfile.TarInfo('folder')
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    with tarfile.open(path) as archive:
        expected = [(m.name, m.offset_data, m.size) for m in archive if m.isfile()]
    assert [tuple(member) for member in list_members(FixedFile.at(str(path)))] == expected


@pytest.mark.parametrize('form', [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_above_8_gib(form: Literal[1, 2], tmp_path: Path) -> None:
    """Their sizes do not fit into eleven octal digits."""
    path, size = tmp_path / 'a.tar', 9 * 2**30 + 1
    large, small = tarfile.TarInfo('large'), tarfile.TarInfo('small')
    large.size = size
    begin = large.tobuf(form)
    with path.open('wb') as file:  # with a hole in place of the data
        file.write(begin)
        file.seek(-(-size // 512) * 512, io.SEEK_CUR)
        file.write(small.tobuf(form) + bytes(1024))
    found = list(list_members(FixedFile.at(str(path))))
    assert [tuple(member)[::2] for member in found] == [('large', size), ('small', 0)]
    assert found[0].offset == len(begin)


@pytest.mark.parametrize(
    'record', [b'99 size=5\n', b'9 size=-5\n', b'9 size=x5\n', b'x', b'0 path=y\n', b'-8 path=y\n']
)
def test_records_of_pax_that_are_none(record: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo('x')
    header.type, header.size = tarfile.XHDTYPE, len(record)
    data = header.tobuf() + record.ljust(512, b'\0') + tarfile.TarInfo('y').tobuf() + bytes(1024)
    (tmp_path / 'a.tar').write_bytes(data)
    with refused('is damaged at byte 512'):
        list(list_members(FixedFile.at(str(tmp_path / 'a.tar'))))


def test_holes_are_refused(tmp_path: Path) -> None:
    record = b'22 GNU.sparse.major=1\n'
    header = tarfile.TarInfo('x')
    header.type, header.size = tarfile.XHDTYPE, len(record)
    (tmp_path / 'a.tar').write_bytes(header.tobuf() + record.ljust(512, b'\0') + bytes(1024))
    with refused('a file with holes', 'without --sparse'):
        list(list_members(FixedFile.at(str(tmp_path / 'a.tar'))))
