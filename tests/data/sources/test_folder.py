"""Folders of real image files."""

import io
import os
import pickle
import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.data.reading.bad_samples import read
from jssl.data.reading.decoding import decode
from jssl.data.sources import Folder
from jssl.errors import JsslError
from tests.checks import refused


def write(root: Path, *names: str) -> Path:
    """A PNG or JPEG per name, in a random order; its grey is the number of the name."""
    shuffled = list(enumerate(names))
    random.Random(0).shuffle(shuffled)
    for grey, name in shuffled:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        form = 'JPEG' if name.lower().endswith(('jpg', 'jpeg')) else 'PNG'
        Image.new('L', (4, 3), grey).save(root / name, form)
    return root


def greys(source: Folder) -> list[int]:
    return [int(np.asarray(Image.open(io.BytesIO(s['image'])))[0, 0]) for s in samples(source)]


def samples(source: Folder) -> list[Any]:
    return [source[index] for index in range(len(source))]


def test_sub_folders_are_classes_numbered_by_name(tmp_path: Path) -> None:
    names = ('cats/1.png', 'cats/old/2.JPG', 'dogs/0.jpeg', 'emu/x y.Png')
    source = Folder(str(write(tmp_path, *names)))
    assert len(source) == 4
    assert [source.name_of(index) for index in range(4)] == list(names)
    assert [sample['label'] for sample in samples(source)] == [0, 0, 1, 2]
    assert type(source[0]['label']) is int
    assert greys(source) == [0, 1, 2, 3]
    assert (source.num_classes, source.label_names) == (3, ['cats', 'dogs', 'emu'])
    assert tuple(decode(source[3]['image'], 8)[1]) == (3, 4)


@pytest.mark.parametrize('names', [('b.png', 'a/1.png', 'c/1.png'), ('a/1.png', 'a/b/2.png')])
def test_without_two_classes_for_all_images_there_are_no_labels(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    source = Folder(str(write(tmp_path, *names)))
    assert not source.has_labels
    assert source.num_classes is None
    assert source.label_names is None
    assert source[0].keys() == {'image'}


def test_labels_can_be_left_out_or_asked_for(tmp_path: Path) -> None:
    write(tmp_path, 'a/1.png', 'a/b/2.png')
    assert Folder(str(tmp_path), labelled=True).label_names == ['a']
    write(tmp_path, 'c/1.png')
    assert not Folder(str(tmp_path), labelled=False).has_labels
    write(tmp_path, 'top.png')
    with refused('1 images lie in none', "'top.png'", 'labelled=False'):
        Folder(str(tmp_path), labelled=True)


def test_every_image_format_and_nothing_else_is_listed(tmp_path: Path) -> None:
    formats = ['jpg', 'JPEG', 'jpe', 'JFIF', 'png', 'webp', 'bmp', 'tif', 'TIFF', 'gif']
    formats += ['ppm', 'pgm']
    images = [f'{number:02}.{form}' for number, form in enumerate(formats)]
    for name in [*images, 'notes.txt', 'jpg', 'x.jpg.part', '.hidden.jpg', '.cache/y.jpg']:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'folder.jpg').mkdir()
    os.mkfifo(tmp_path / 'pipe.jpg')  # reading it would wait for ever
    os.symlink('nowhere', tmp_path / 'dangling.jpg')
    source = Folder(str(tmp_path))
    assert source.names() == images


def test_images_that_are_not_read_are_counted_and_said(tmp_path: Path) -> None:
    assert Folder(str(write(tmp_path, 'a.png'))).remarks == []
    for name in ('1.heic', '2.HEIC', 'sub/3.avif', '4.pnm', 'notes.txt', '.5.heic'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.symlink('/nowhere/at/all', tmp_path / 'class')
    os.symlink('.', tmp_path / 'round')
    os.mkfifo(tmp_path / 'pipe.jpg')
    os.symlink('/dev/null', tmp_path / 'sub' / 'device.png')
    assert Folder(str(tmp_path)).remarks == [
        f'left out below {tmp_path}: 1 .avif files, 2 .heic files, 1 .pnm files, '
        '1 links that lead nowhere, 1 links to folders that are listed already, 2 pipes, sockets '
        'or device files.'
    ]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / 'store', 'a/1.png')
    data = write(tmp_path / 'data', 'b/2.png')
    os.symlink(tmp_path / 'store' / 'a', data / 'a')
    os.symlink(data, data / 'b' / 'round')
    os.symlink('.', data / 'self')
    os.symlink(data, tmp_path / 'alias')
    for root in (data, tmp_path / 'alias'):
        source = Folder(str(root))
        assert [source.name_of(index) for index in range(len(source))] == ['a/1.png', 'b/2.png']


@pytest.mark.parametrize('count', [2, 8])
def test_folders_that_link_each_other_are_listed_once(tmp_path: Path, count: int) -> None:
    names = [f'{folder}/1.png' for folder in range(count)]
    write(tmp_path, *names)
    for folder in range(count):
        for other in set(range(count)) - {folder}:
            os.symlink(tmp_path / str(other), tmp_path / str(folder) / f'to{other}')
    source = Folder(str(tmp_path))
    assert source.names() == names
    assert source.num_classes == count


@pytest.mark.parametrize('seed', range(20))
def test_any_links_list_every_image_that_can_be_reached_once(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    folders = [tmp_path / 'data', tmp_path / 'store']
    folders[0].mkdir()
    folders[1].mkdir()
    for number in range(12):
        folders.append(draw.choice(folders) / f'f{number}')
        folders[-1].mkdir(parents=True)
        if draw.random() < 0.7:
            (folders[-1] / f'{number}.png').touch()
    (folders[0] / 'first.png').touch()
    for number in range(10):
        goal = draw.choice([*folders, tmp_path, tmp_path / 'nowhere'])
        os.symlink(goal, draw.choice(folders) / f'l{number}')
    names = Folder(str(tmp_path / 'data')).names()
    real = [os.path.realpath(tmp_path / 'data' / name) for name in names]
    assert len(set(real)) == len(real)
    assert set(real) == reachable(tmp_path / 'data')


def reachable(root: Path) -> set[str]:
    """The real paths of all images below `root`, by the standard library."""
    seen: set[str] = set()
    found: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [] if os.path.realpath(folder) in seen else folders
        seen.add(os.path.realpath(folder))
        found |= {os.path.realpath(os.path.join(folder, name)) for name in files}
    return {name for name in found if name.endswith('.png') and os.path.isfile(name)}


def test_accents_that_are_stored_in_two_ways_are_one_class(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, 'café') for form in ('NFC', 'NFD')]
    source = Folder(str(write(tmp_path, 'bar/1.png', *(f'{name}/1.png' for name in names))))
    assert source.label_names == ['bar', names[0]]


def test_of_several_ways_to_a_folder_the_one_without_links_counts(tmp_path: Path) -> None:
    write(tmp_path / 'data', 'z/1.png', 'b/2.png')
    write(tmp_path / 'store', 'deep/3.png')
    for link, goal in (('a', 'data/z'), ('c', 'store'), ('d', 'store/deep')):
        os.symlink(tmp_path / goal, tmp_path / 'data' / link)
    os.symlink('self', tmp_path / 'data' / 'self')
    source = Folder(str(tmp_path / 'data'))
    assert source.names() == ['b/2.png', 'c/deep/3.png', 'z/1.png']


def test_names_that_are_no_unicode_are_read_and_can_be_logged(tmp_path: Path) -> None:
    write(tmp_path, 'a.png')
    os.rename(tmp_path / 'a.png', os.fsencode(tmp_path) + b'/\xff\n.png')
    source = Folder(str(tmp_path))
    assert bytes(source[0]['image']).startswith(b'\x89PNG')
    (tmp_path / source.name_of(0)).write_bytes(b'')
    with pytest.raises(JsslError) as caught:
        read(source, 0, 8)
    assert r"'\udcff\n.png'" in str(caught.value).encode().decode()


def test_a_pickled_folder_keeps_its_numbers_when_files_come(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(Folder(str(write(tmp_path, 'b.png', 'c.png')))))
    write(tmp_path, 'a.png')
    assert [source.name_of(index) for index in range(len(source))] == ['b.png', 'c.png']


def test_a_file_that_goes_is_a_fault_with_its_name(tmp_path: Path) -> None:
    source = Folder(str(write(tmp_path, 'a/1.png', 'b/2.png')))
    (tmp_path / 'a' / '1.png').unlink()
    found: Any = read(source, 0, 8)
    assert found.label == 1
    assert "sample 0 ('a/1.png'): [Errno 2] No such file" in found.broken.fault


def test_the_folder_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(write(tmp_path, 'a.png')))
    assert len(Folder('~')) == 1


def test_a_missing_folder_or_a_file_is_refused(tmp_path: Path) -> None:
    with refused(str(tmp_path / 'absent'), 'No such file or directory', 'set path to a folder'):
        Folder(str(tmp_path / 'absent'))
    with refused('a.png', 'Not a directory', 'set path'):
        Folder(str(write(tmp_path, 'a.png') / 'a.png'))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'readme.txt').touch()
    with refused(f'no images below {str(tmp_path)!r}', '.jpg, .jpeg'):
        Folder(str(tmp_path))
    (tmp_path / '1.heic').touch()
    with refused('(1 .heic files are not read)'):
        Folder(str(tmp_path))
