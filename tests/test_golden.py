"""Every file of reference numbers is read by a test, or stands in the list that shrinks."""

import fnmatch
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import golden, other_numbers

FILES = golden.files()


def complaint(path: Path) -> str | None:
    """What is wrong with a file or its place in the list, or None."""
    read = golden.modules_of(path)
    listed = [pattern for pattern in golden.NOT_BUILT if fnmatch.fnmatchcase(path.stem, pattern)]
    if golden.kind(path) == 'damaged':
        return f'{path} cannot be read'
    if read and listed:
        return f'{path.name} has a test; take {listed} out of NOT_BUILT'
    if not read and not listed:
        return f'{path.name}: no test reads a {golden.kind(path)} like this, and NOT_BUILT lacks it'
    return None


@pytest.mark.skipif(not FILES, reason=golden.MISSING)
@pytest.mark.parametrize('path', FILES, ids=lambda path: f'{path.parent.name}-{path.stem}')
def test_every_file_is_read_or_listed(path: Path) -> None:
    assert complaint(path) is None


@pytest.mark.skipif(golden.FOLDERS != golden.DEFAULT, reason='other folders hold other files')
@pytest.mark.skipif(not FILES, reason=golden.MISSING)
def test_nothing_is_listed_that_is_not_there() -> None:
    stems = [path.stem for path in FILES]
    assert [pattern for pattern in golden.NOT_BUILT if not fnmatch.filter(stems, pattern)] == []


@pytest.mark.skipif(not os.environ.get('CI'), reason='only CI has to have the numbers')
def test_every_folder_holds_files() -> None:
    assert [folder for folder in golden.FOLDERS if not golden.files((folder,))] == []


def test_a_damaged_and_an_unknown_file_are_named(tmp_path: Path) -> None:
    good, cut, unknown = (tmp_path / f'{name}.npz' for name in ('part_hog', 'cut', 'unknown'))
    for path in (good, unknown):
        other_numbers.write(path, {'kind': 'part'})
    cut.write_bytes(good.read_bytes()[:-40])
    assert complaint(good) is None
    assert complaint(cut) == f'{cut} cannot be read'
    assert 'unknown.npz: no test reads a unknown' in str(complaint(unknown))


def test_what_was_not_looked_up_is_named() -> None:
    entries = golden.Entries({'a': 1, 'b': {'c': 2, 'd': 3}, 'e': [{'f': 4}, {'f': 5}], 'g': [6]})
    assert entries.unread() == ['a', 'b.c', 'b.d', 'e.0.f', 'e.1.f', 'g']
    assert (entries['a'], entries['b']['d'], entries['e'][1]['f']) == (1, 3, 5)
    assert 'g' in entries
    assert entries.unread() == ['b.c', 'e.0.f', 'g']
    assert golden.plain(entries) == {
        'a': 1,
        'b': {'c': 2, 'd': 3},
        'e': [{'f': 4}, {'f': 5}],
        'g': [6],
    }
    assert entries.unread() == []


READ = (
    'tests/test_golden.py',
    *(
        'tests/memories/test_kmeans.py',
        'tests/memories/test_ema.py',
        'tests/losses/test_sinkhorn.py',
    ),
    *('tests/training/test_schedules.py', 'tests/target_generators/test_hog.py'),
)


def run_with(folders: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The tests of golden files, in a process of their own that reads these folders."""
    command = [sys.executable, '-m', 'pytest', '-n', '0', '-q', '-rs', '-p', 'no:cacheprovider']
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, 'JSSL_GOLDEN': folders, 'CI': ''},
        cwd=golden.TESTS.parent,
    )


@pytest.mark.slow
@pytest.mark.skipif(golden.FOLDERS != golden.DEFAULT or not FILES, reason=golden.MISSING)
def test_other_folders_of_the_format_are_read_whole(tmp_path: Path) -> None:
    first, second = tmp_path / 'first', tmp_path / 'second'
    for folder in (first, second):
        folder.mkdir()
    other_numbers.fill(first)
    names = 'listed or reference or codes'
    done = run_with(str(first), *READ, '-k', names)
    assert done.returncode == 0, done.stdout[-3000:]
    assert 'no part_dinov2_sinkhorn in the folders' in done.stdout
    modules = ('tests/test_parity.py', 'tests/backbones/test_golden.py')
    made = run_with(str(first), *modules, '--collect-only', '-m', '').stdout
    assert 'test_float64_equals_the_reference[mocov1_r18]' in made
    assert 'test_float64_equals_the_reference[backbone_resnet50_caffe]' in made
    other_numbers.write_kmeans(second / 'part_kmeans.npz', in__odd=1.0)
    (second / 'part_cut.npz').write_bytes((first / 'part_hog.npz').read_bytes()[:-99])
    done = run_with(f'{first}{os.pathsep}{second}', *READ, '-k', names)
    assert 'part_kmeans.npz: no test reads in/odd' in done.stdout
    assert 'part_cut.npz cannot be read' in done.stdout
    assert '2 failed' in done.stdout
