"""Compiled programs that are kept: where, how many, and that a second start uses them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jssl import compilation_cache
from jssl.compilation_cache import ENABLED, FOLDER, LONG, default_folder, keep_programs, prune
from tests.conftest import ROOT

COMPUTE = """
from jssl.compilation_cache import keep_programs
keep_programs()
import jax
print(jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((4, 4))))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of a user's without what tests set."""
    for name in (FOLDER, ENABLED, LONG):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path


def kept(folder: Path) -> set[Path]:
    return {path for path in folder.rglob('*-cache') if path.is_file()}


def compute() -> str:
    """The result, and whatever else is said."""
    environment = os.environ | {LONG: '0'}
    command = [sys.executable, '-c', COMPUTE]
    to = subprocess.STDOUT
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=to, text=True, check=True
    )
    return done.stdout


def test_damaged_programs_are_made_anew_without_a_word(home: Path) -> None:
    first = compute()
    whole = {path: path.stat().st_size for path in kept(home / 'jssl')}
    for path, size in whole.items():  # a machine that lost its power, a disk that was full
        path.write_bytes(path.read_bytes()[: size // 2])
    assert compute() == first
    sizes = {path: path.stat().st_size for path in kept(home / 'jssl')}
    assert sizes.keys() == whole.keys()
    assert all(sizes[path] > size // 2 for path, size in whole.items())


def test_a_second_start_compiles_nothing_anew(home: Path) -> None:
    first = compute()
    programs = kept(home / 'jssl')
    assert programs
    times = {path: path.stat().st_mtime_ns for path in programs}
    assert compute() == first
    assert {path: path.stat().st_mtime_ns for path in kept(home / 'jssl')} == times


def test_the_folder_is_the_user_s(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_programs()
    assert os.environ[FOLDER] == str(default_folder())
    assert default_folder().is_dir()
    assert default_folder().is_relative_to(home / 'jssl')
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', '/home/someone')
    assert default_folder().is_relative_to('/home/someone/.cache/jssl')


@pytest.mark.parametrize(('name', 'value'), [(FOLDER, '/somewhere'), (ENABLED, 'false')])
def test_what_the_user_says_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    keep_programs()
    assert dict(os.environ) == before
    assert not (home / 'jssl').exists()


def test_a_folder_that_cannot_be_written_is_a_note(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / 'jssl').write_text('a file')
    keep_programs()
    assert FOLDER not in os.environ
    said = capsys.readouterr().err
    assert 'compiled programs are not kept' in said
    assert f'{FOLDER}=FOLDER' in said


def test_the_oldest_go_beyond_the_bound(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = default_folder()
    folder.mkdir(parents=True)
    for age, name in enumerate(('new', 'middle', 'old')):
        path = folder / f'{name}-cache'
        path.write_bytes(bytes(10))
        os.utime(path, (1000 - age, 1000 - age))
    prune(folder.parent, 30)
    assert len(kept(home)) == 3
    monkeypatch.setattr(compilation_cache, 'BOUND', 20)
    keep_programs()
    assert {path.name for path in kept(home)} == {'new-cache', 'middle-cache'}
