"""The files that a path stands for."""

import os
from pathlib import Path

import pytest

from jssl.data.sources.patterns import files_of, of_split, short_names, split_of, written_out
from tests.checks import refused


@pytest.mark.parametrize(
    ('pattern', 'names'),
    [
        ('a.tar', ['a.tar']),
        ('{0..2}', ['0', '1', '2']),
        ('{08..11}', ['08', '09', '10', '11']),
        ('{9..11}', ['9', '10', '11']),
        ('x{a,b}y{0..1}z', ['xay0z', 'xay1z', 'xby0z', 'xby1z']),
        ('{a}', ['a']),
        ('{a..b}', ['a..b']),
        ('a{', ['a{']),
    ],
)
def test_braces_are_written_out_as_a_shell_does_it(pattern: str, names: list[str]) -> None:
    assert written_out(pattern) == names


@pytest.mark.parametrize('pattern', ['{0..9999999}', '{0..999}{0..9999}', '{3..1}'])
def test_far_too_many_names_are_refused_before_they_are_made(pattern: str) -> None:
    with refused(repr(pattern)):
        written_out(pattern)


def test_files_below_a_folder_are_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ('b/2.tar', 'b/10.TAR', 'a.tar', '.hidden.tar', '.git/c.tar', 'b/c.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files_of(str(tmp_path), '.tar')
    assert short_names(found) == ['a.tar', 'b/10.TAR', 'b/2.tar']
    with refused('there is no .arrow file below'):
        files_of(str(tmp_path), '.arrow')
    assert files_of(str(tmp_path / 'b' / '*.tar'), '.tar') == [str(tmp_path / 'b' / '2.tar')]


def test_links_are_followed_and_every_folder_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'self').symlink_to(tmp_path / 'in')
    (tmp_path / 'in' / 'out').symlink_to(tmp_path / 'other')
    (tmp_path / 'other').mkdir()
    for name in ('in/a.tar', 'other/b.tar'):
        (tmp_path / name).touch()
    found = files_of(str(tmp_path / 'in'), '.tar')
    assert [os.path.relpath(name, tmp_path) for name in found] == ['in/a.tar', 'in/out/b.tar']


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'a.tar').touch()
    assert files_of('~/a.tar', '.tar') == [str(tmp_path / 'a.tar')]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / '{0..1}[a].tar'
    path.touch()
    assert files_of(str(path), '.tar') == [str(path)]


@pytest.mark.parametrize(
    ('name', 'split'),
    [
        ('train-00000-of-00002.parquet', 'train'),
        ('data/test-00000-of-00001-0f7a65a90c73b2aa.parquet', 'test'),
        ('cifar10-train-00001-of-00005.arrow', 'train'),
        ('parquet-validation.arrow', 'validation'),
        ('imagenet1k-train-0012.tar', 'train'),
        ('val/0012.tar', 'val'),
        ('test/data-00000-of-00001.arrow', 'test'),
        ('unsupervised-00000-of-00001.parquet', 'unsupervised'),
        ('data-00000-of-00001.arrow', None),
        ('training/photos.parquet', 'training'),
        ('trains.parquet', None),
        ('0012.tar', None),
    ],
)
def test_splits_by_names(name: str, split: str | None) -> None:
    assert split_of(name.replace('/', os.sep)) == split


def test_a_split_of_files_that_name_none() -> None:
    with refused("no split 'train'", 'others (2 files)', 'leave split out'):
        of_split(['a.tar', 'b.tar'], 'train', 'here')
    assert of_split(['a.tar', 'b.tar'], None, 'here') == ['a.tar', 'b.tar']
    with refused('several splits', 'others (1 file)', 'or give the path of its files'):
        of_split(['a.tar', 'train.tar'], None, 'here')
