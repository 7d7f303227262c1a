"""Shards of WebDataset as a source."""

import gzip
import io
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jssl.data import Loader, WebDataset
from jssl.data.loading.identity import Listing, difference
from jssl.data.reading.bad_samples import BadSamples
from jssl.files import cache_folder
from tests.checks import refused
from tests.data.sources.written import (
    assert_mutations_end_well,
    level,
    pngs,
    samples,
    write_tar,
)

COUNT = 12
PATTERN = 'train-{000..002}.tar'
pytestmark = pytest.mark.usefixtures('cache')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for shard in range(3):
        write_tar(tmp_path / f'train-{shard:03}.tar', samples(4, 4 * shard))
    return tmp_path


def levels(source: WebDataset) -> list[int]:
    return [level(source, row) for row in range(len(source))]


def test_the_samples_of_some_shards(folder: Path) -> None:
    source = WebDataset(str(folder / PATTERN))
    assert levels(source) == list(range(COUNT))
    assert [source[row]['label'] for row in range(COUNT)] == [row % 3 for row in range(COUNT)]
    assert type(source[0]['label']) is int
    assert (source.num_classes, source.label_names, source.has_labels) == (3, None, True)
    assert source.name_of(5) == 'train-001.tar 00005'
    assert source.names()[0] == 'train-000.tar, 4 samples (any image, cls)'
    assert source.remarks == []
    for row in (-1, COUNT):
        with pytest.raises(IndexError):
            source[row]


@pytest.mark.parametrize(
    'path', ['', 'train-*.tar', 'train-{000,001,002}.tar', 'train-00[012].tar']
)
def test_shards_are_named_in_several_ways(path: str, folder: Path) -> None:
    assert levels(WebDataset(str(folder / path))) == list(range(COUNT))


def test_splits_of_a_folder(folder: Path) -> None:
    write_tar(folder / 'val-000.tar', samples(2))
    assert len(WebDataset(str(folder), split='train')) == COUNT
    with refused('several splits: train (3 files), val (1 file)', 'split=train'):
        WebDataset(str(folder))


@pytest.mark.parametrize('form', [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_and_folders(form: int, tmp_path: Path) -> None:
    long = 'y' * 90 if form == tarfile.USTAR_FORMAT else 'y' * 180
    names = [f'./a.b/{long}/{row}.png' for row in range(3)]
    names += [] if form == tarfile.USTAR_FORMAT else [f'{"é" * 70}/3.png']
    files = dict(zip(names, pngs(4), strict=False))
    source = WebDataset(write_tar(tmp_path / 'a.tar', files, form))
    assert levels(source) == list(range(len(names)))
    assert source.name_of(0) == f'a.tar a.b/{long}/0'
    if len(names) > 3:
        assert source.name_of(3) == f'a.tar {"é" * 70}/3'


def test_tar_of_gnu_and_the_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / 'in').mkdir()
    name = b'\xe4.png'.decode(errors='surrogateescape')
    (tmp_path / 'in' / name).write_bytes(pngs(1)[0])
    os.system(f'tar -C {tmp_path}/in -cf {tmp_path}/a.tar .')
    source = WebDataset(str(tmp_path / 'a.tar'))
    assert levels(source) == [0]
    assert source.name_of(0) == f'a.tar {name.removesuffix(".png")}'
    assert Listing.of(source).identity


def test_what_is_no_sample_is_left_out_and_said(tmp_path: Path) -> None:
    files = {
        'README': b'',
        '.hidden.png': pngs(9)[8],
        '0.JPG': pngs(1)[0],
        '0.json': b'{}',
        '1.json': b'{}',
        '2.seg.png': pngs(9)[7],
        '2.png': pngs(3)[2],
    }
    source = WebDataset(write_tar(tmp_path / 'a.tar', files))
    assert levels(source) == [0, 2]
    assert source.remarks == [f'left out of {source.path}: 1 sample without an image.']
    assert levels(WebDataset(source.path, image='seg.png')) == [7]


def test_which_image_is_meant(tmp_path: Path) -> None:
    files = {'0.png': pngs(1)[0], '0.jpg': pngs(2)[1], '1.png': pngs(3)[2]}
    path = write_tar(tmp_path / 'a.tar', files)
    with refused("the sample '0'", 'has the images jpg and png; choose one by image=jpg'):
        WebDataset(path)
    assert levels(WebDataset(path, image='png')) == [0, 2]
    assert levels(WebDataset(path, image=' .PNG')) == [0, 2]
    with refused(f'no image among the 2 samples of {path}', "image='jpg'"):
        WebDataset(path, image='webp')


def test_labels_that_some_samples_lack(tmp_path: Path) -> None:
    files = samples(4)
    del files['00002.cls']
    source = WebDataset(write_tar(tmp_path / 'a.tar', files))
    assert not source.has_labels
    assert 'label' not in source[0]
    assert source.remarks == [
        f'1 of 4 samples of {source.path} have no .cls, so that all of them count as unlabelled.'
    ]
    alone = WebDataset(source.path, label=None)
    assert (alone.remarks, alone.names()) == ([], ['a.tar, 4 samples (any image)'])
    (said,) = WebDataset(source.path, label='class').remarks
    assert said == f'no sample of {source.path} has a label in a file .class.'


@pytest.mark.parametrize('label', [b'cat', b'', b'1.5', b'1' * 30, b'99999999999', b'-2', b'\xff'])
def test_a_label_that_is_no_number_is_refused(label: bytes, tmp_path: Path) -> None:
    path = write_tar(tmp_path / 'a.tar', samples(2) | {'00001.cls': label})
    with refused("'00001.cls' of the sample '00001'", 'a whole number from 0', 'label=None'):
        WebDataset(path)
    assert len(WebDataset(path, label=None)) == 2


def test_labels_of_another_ending_and_with_white_space(tmp_path: Path) -> None:
    files = {'0.png': pngs(1)[0], '0.Class': b' 7\n', '1.png': pngs(1)[0], '1.class': b'-1'}
    path = write_tar(tmp_path / 'a.tar', files)
    assert WebDataset(path, label='class').labels is None  # -1 is none
    files['1.class'] = b'3'
    path = write_tar(tmp_path / 'b.tar', files)
    assert WebDataset(path, label='.Class')[0]['label'] == 7


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    apart = {'a.png': pngs(1)[0], 'b.png': pngs(1)[0], 'a.cls': b'0'}
    with refused("the key 'a' stands twice", 'all files of a sample together'):
        WebDataset(write_tar(tmp_path / 'a.tar', apart))
    twice = {'a.png': pngs(1)[0], './a.png': pngs(1)[0]}
    with refused("'./a.png' stands twice"):
        WebDataset(write_tar(tmp_path / 'b.tar', twice))


@pytest.mark.parametrize(
    ('kind', 'words'),
    [
        (tarfile.SYMTYPE, 'is a link; write the archive again with tar --dereference'),
        (tarfile.LNKTYPE, 'is a link'),
        (tarfile.FIFOTYPE, 'is no plain file'),
        (tarfile.CHRTYPE, 'is no plain file'),
        (tarfile.GNUTYPE_SPARSE, 'is no plain file'),
    ],
)
def test_what_is_no_file_is_refused(kind: bytes, words: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / 'a.tar', 'w') as archive:
        header = tarfile.TarInfo('it.png')
        header.type, header.linkname = kind, '/etc/passwd'
        archive.addfile(header)
    with refused("'it.png'", words):
        WebDataset(str(tmp_path / 'a.tar'))


def test_compressed_shards_are_refused_with_the_command(tmp_path: Path) -> None:
    plain = Path(write_tar(tmp_path / 'a.tar', samples(2)))
    path = tmp_path / 'a.tar.gz'
    path.write_bytes(gzip.compress(plain.read_bytes()))
    with refused('is compressed by gzip', f'gunzip {path}'):
        WebDataset(str(path))
    for mode, command in (('w:bz2', 'bunzip2'), ('w:xz', 'unxz')):
        with tarfile.open(path, mode):  # type: ignore[call-overload]
            pass
        with refused(command):
            WebDataset(str(path))


@pytest.mark.parametrize('part', ['image', 'header', 'name'])
def test_a_shard_that_is_cut_off_is_refused(part: str, tmp_path: Path) -> None:
    path = Path(write_tar(tmp_path / 'a.tar', {f'{"x" * 150}/{n}.png': pngs(1)[0] for n in 'ab'}))
    size = {'image': 512 * 7 + 20, 'header': 512 * 6 + 100, 'name': 512 * 5 + 100}[part]
    path.write_bytes(path.read_bytes()[:size])
    with refused(str(path), 'is cut off', 'copy it again, or leave it out'):
        WebDataset(str(path))


def test_a_shard_without_an_end_is_told(folder: Path) -> None:
    path = folder / 'train-001.tar'
    path.write_bytes(path.read_bytes()[: 4 * 4 * 512])
    source = WebDataset(str(folder / PATTERN))
    assert levels(source) == list(range(COUNT))
    assert source.remarks == [
        'train-001.tar has no mark at its end, so that something may be missing.'
    ]


@pytest.mark.parametrize('content', [b'', b'\xff\xd8 no archive', bytes(511), b'x' * 2000])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'a.tar'
    path.write_bytes(content)
    with refused(str(path), 'copy it again'):
        WebDataset(str(path))


@pytest.mark.parametrize('behind', ['another', 'hole', 'nothing'])
def test_what_lies_behind_the_end_is_not_lost(behind: str, tmp_path: Path) -> None:
    path = Path(write_tar(tmp_path / 'a.tar', samples(4)))
    data = path.read_bytes()
    hole = data[:2048] + bytes(512) + data[2560:]  # where a header was
    path.write_bytes({'another': data * 2, 'hole': hole, 'nothing': data + bytes(2**20)}[behind])
    with refused(f'{path} has the mark of its end at byte', f'tar --ignore-zeros -xf {path}'):
        WebDataset(str(path))


def test_a_damaged_header_is_not_taken_for_the_end(folder: Path) -> None:
    path = folder / 'train-001.tar'
    data = bytearray(path.read_bytes())
    data[2 * 1024 + 3] ^= 1
    path.write_bytes(data)
    with refused(f'{path} is damaged at byte 2,048, of a header (its sum is wrong)'):
        WebDataset(str(folder / PATTERN))


def test_missing_shards_are_named(folder: Path) -> None:
    with refused("no file '", 'train-003.tar', 'and 2 more of 6'):
        WebDataset(str(folder / 'train-{000..005}.tar'))
    with refused('is an address', 'mount s3:'):
        WebDataset('s3://bucket/train-{000..005}.tar')


def test_the_second_time_no_header_is_read(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = WebDataset(str(folder / PATTERN))
    notes = sorted(cache_folder('shards').iterdir())
    assert len(notes) == 3
    assert cache_folder('shards').is_relative_to(cache)
    with monkeypatch.context() as patch:
        patch.setattr(os, 'pread', None)
        again = WebDataset(str(folder / PATTERN))
    assert again.names() == first.names()
    np.testing.assert_array_equal(again.labels, first.labels)
    assert levels(again) == list(range(COUNT))
    assert len(WebDataset(str(folder / PATTERN), label=None)) == COUNT  # which has notes of its own
    assert len(list(cache_folder('shards').iterdir())) == 6


def test_a_shard_that_changed_is_looked_at_again_and_noticed(folder: Path) -> None:
    source = WebDataset(str(folder / PATTERN))
    before = Listing.of(source)
    write_tar(folder / 'train-001.tar', samples(3, 4))
    with refused('train-001.tar has changed since it was opened; start again'):
        source[4]
    after = WebDataset(str(folder / PATTERN))
    assert levels(after) == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    assert '12 samples then, 11 now' in difference(before, Listing.of(after))
    os.utime(folder / 'train-000.tar', ns=(0, 0))
    assert Listing.of(WebDataset(str(folder / PATTERN))).identity != Listing.of(after).identity


@pytest.mark.parametrize('damage', [b'', b'PK\x03\x04', bytes(300), None])
def test_a_damaged_note_is_made_anew(damage: bytes | None, folder: Path) -> None:
    path = str(folder / 'train-000.tar')
    WebDataset(path)
    (note,) = cache_folder('shards').iterdir()
    whole = note.read_bytes()
    note.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert levels(WebDataset(path)) == [0, 1, 2, 3]
    assert note.read_bytes() == whole
    arrays = dict(np.load(io.BytesIO(whole)))
    arrays['offsets'] = arrays['offsets'] + 2**40
    np.savez(note, **arrays)
    assert levels(WebDataset(path)) == [0, 1, 2, 3]


def test_a_cache_that_cannot_be_written_costs_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert levels(WebDataset(str(folder / PATTERN))) == list(range(COUNT))


def test_it_pickles_and_reads_in_threads(folder: Path) -> None:
    source = pickle.loads(pickle.dumps(WebDataset(str(folder / PATTERN))))
    rows = list(range(COUNT)) * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda row: level(source, row), rows)) == rows


def test_undecodable_images_are_bad_samples(tmp_path: Path) -> None:
    files = samples(5) | {'00003.png': b'no image', '00004.png': b''}
    source = WebDataset(write_tar(tmp_path / 'a.tar', files))
    said: list[str] = []
    loader = Loader(source, 5, 4, threads=0, bad_samples=BadSamples(5, 1.0, said.append))
    batch = loader[0]
    assert set(batch['canvas'].pixels[:, 0, 0, 0]) == {0, 1, 2}
    np.testing.assert_array_equal(batch['label'], batch['canvas'].pixels[:, 0, 0, 0] % 3)
    assert any(line.startswith("sample 3 ('a.tar 00003')") for line in said)


@pytest.mark.parametrize('form', [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_damaged_shards_end_in_a_paragraph_or_in_images(
    form: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {f'{"é" * 60}/{name}': data for name, data in samples(6).items()}
    path = Path(write_tar(tmp_path / 'a.tar', files, form))
    assert_mutations_end_well(path, lambda: WebDataset(str(path)), 140, capfd)


def test_names_of_forged_length_take_no_memory(tmp_path: Path) -> None:
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        header = tarfile.TarInfo('x')
        header.type, header.size = kind, 2**40
        path = tmp_path / 'a.tar'
        path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        with refused('a name of 1,099,511,627,776 bytes'):
            WebDataset(str(path))
