"""Lists of image files, as the reference and others write them."""

import os
import pickle
from pathlib import Path

import pytest
from PIL import Image

from jssl.data.sources import ImageList
from tests.checks import refused

NAMES = ('a.png', 'sub/b c.png', 'sub/d 7.png')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for grey, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new('L', (2, 2), grey).save(tmp_path / name)
    return tmp_path


def listed(folder: Path, text: str | bytes, name: str = 'list.txt', **options: str) -> ImageList:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ImageList(str(path), **options)


def names(source: ImageList) -> list[str]:
    return [source.name_of(index).partition(', line ')[0] for index in range(len(source))]


def test_paths_and_labels(folder: Path) -> None:
    source = listed(folder, 'a.png 3\nsub/b c.png 0\nsub/d 7.png\t12\n')
    assert len(source) == 3
    assert names(source) == list(NAMES)
    assert [source[index]['label'] for index in range(3)] == [3, 0, 12]
    assert type(source[0]['label']) is int
    assert [source[i]['image'] for i in range(3)] == [(folder / n).read_bytes() for n in NAMES]
    assert source.has_labels
    assert (source.num_classes, source.label_names) == (3, None)


def test_paths_alone(folder: Path) -> None:
    source = listed(folder, '\n'.join(NAMES))
    assert names(source) == list(NAMES)
    assert not source.has_labels
    assert source.num_classes is None
    assert source[2] == {'image': (folder / NAMES[2]).read_bytes()}


@pytest.mark.parametrize(
    'text',
    [
        'a.png 3\r\nsub/b c.png 0\r\n',
        '\ufeffa.png 3\nsub/b c.png 0',
        '# split of 2024\n\n  a.png 3  \n\nsub/b c.png  0\n\n',
    ],
    ids=['CRLF', 'byte order mark', 'comments and blanks'],
)
def test_what_editors_leave_in_a_list_does_not_matter(folder: Path, text: str) -> None:
    source = listed(folder, text)
    assert names(source) == list(NAMES[:2])
    assert [source[index]['label'] for index in range(2)] == [3, 0]


def test_the_name_of_a_sample_says_where_it_is_listed(folder: Path) -> None:
    source = listed(folder, '# comment\n\na.png\nsub/b c.png\n')
    assert source.name_of(1) == f'sub/b c.png, line 4 of {folder / "list.txt"}'


def test_paths_are_relative_to_the_list_or_to_root_or_absolute(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp('meta')
    assert len(listed(elsewhere, 'b c.png', root=str(folder / 'sub'))) == 1
    assert len(listed(elsewhere, str(folder / 'a.png'))) == 1
    with refused(repr(str(elsewhere / 'a.png')), 'for line 1', 'set root'):
        listed(elsewhere, 'a.png')


@pytest.mark.parametrize(
    ('line', 'remedy'),
    [
        ('{},{}', "'a.png,0', where 'a.png' is a file: on every line write a space and"),
        ('{};{}', 'write a space and a whole number after the path, or nothing'),
        ('{} 0 {}', "'a.png 0', where 'a.png' is a file: on every line write a space"),
        ('{} {}.5', 'write a space and a whole number'),
        ('{} cat{}', 'write a space and a whole number'),
        ('"{}" {}', 'on every line leave out the quotation marks'),
    ],
)
def test_a_line_that_is_written_otherwise_is_shown_with_what_to_write(
    folder: Path, line: str, remedy: str
) -> None:
    text = '\n'.join(line.format(name, number) for number, name in enumerate(NAMES))
    with refused('for line 1; line 1 is', remedy):
        listed(folder, text)
    with refused('for line 1; line 2 is', remedy.partition(':')[2] or remedy):
        listed(folder, f'filename,label\n{text}' if ',' in line else f'filename\n{text}')


def test_backslashes_between_folders_are_shown(folder: Path) -> None:
    with refused(
        "'sub\\\\b c.png', where 'sub/b c.png' is a file: on every line write / between folders"
    ):
        listed(folder, 'sub\\b c.png 0\nsub\\d 7.png 1')


def test_one_missing_file_is_left_to_the_run(folder: Path) -> None:
    source = listed(folder, 'absent.png\na.png\n')
    with pytest.raises(FileNotFoundError):
        source[0]


def test_names_that_are_no_unicode(folder: Path) -> None:
    (folder / 'a.png').rename(folder / b'\xe4.png'.decode(errors='surrogateescape'))
    assert bytes(listed(folder, b'\xe4.png\n')[0]['image']).startswith(b'\x89PNG')


def test_a_label_of_minus_one_on_every_line_means_none(folder: Path) -> None:
    assert not listed(folder, 'a.png -1\nsub/b c.png -1').has_labels


@pytest.mark.parametrize('label', [-1, -7, 2**31])
def test_a_label_that_is_no_class_is_refused_with_its_line(folder: Path, label: int) -> None:
    with refused(f'line 3 of the list {str(folder / "list.txt")!r} has the label {label};'):
        listed(folder, f'a.png 0\n\nsub/b c.png {label}')


def test_a_line_without_its_label_is_refused(folder: Path) -> None:
    with refused('line 2 of the list', "'sub/b c.png' and has no label", 'line 1 has one'):
        listed(folder, 'a.png 0\nsub/b c.png\nsub/d 7.png 1')


@pytest.mark.parametrize('text', ['', '\n\n', '# only a comment\n'])
def test_a_list_that_names_no_image_is_refused(folder: Path, text: str) -> None:
    with refused('names no image', 'on each line'):
        listed(folder, text)


def test_a_file_that_is_no_text_is_refused(folder: Path) -> None:
    with refused('is no text in UTF-8'):
        listed(folder, 'a.png'.encode('utf-16'))


def test_a_list_that_is_not_there_is_refused(folder: Path) -> None:
    with refused("absent.txt' cannot be read: No such file", 'set path to a text file'):
        ImageList(str(folder / 'absent.txt'))
    with refused('Is a directory'):
        ImageList(str(folder))


def test_a_list_pickles_with_what_it_has_read(folder: Path) -> None:
    source = listed(folder, 'a.png 3\n')
    pickled = pickle.dumps(source)
    (folder / 'list.txt').unlink()
    assert pickle.loads(pickled)[0] == {'image': (folder / 'a.png').read_bytes(), 'label': 3}


@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_a_line_that_names_no_file_is_a_broken_sample(kind: str, tmp_path: Path) -> None:
    if kind == 'pipe':
        os.mkfifo(tmp_path / 'x.png')  # reading it would wait for ever
    else:
        os.symlink('/dev/zero', tmp_path / 'x.png')  # which never ends
    (tmp_path / 'a.png').touch()
    (tmp_path / 'list.txt').write_text('a.png\nx.png\n')
    source = ImageList(str(tmp_path / 'list.txt'))
    with refused('it is a pipe, socket or device'):
        source[1]
