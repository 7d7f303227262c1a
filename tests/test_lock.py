"""One holder at a time, told by name, and none that the system has ended."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from jssl.lock import LOCK, locked
from tests.checks import refused

REMEDY = 'go elsewhere'
HOLD = f"""
import os, signal, sys
from pathlib import Path
from jssl.lock import LOCK, locked
with locked(Path(sys.argv[1]) / LOCK, Path(sys.argv[1]), '{REMEDY}'):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def held(
    folder: Path, report: Callable[[str], None] = print
) -> AbstractContextManager[Callable[[], bool]]:
    return locked(folder / LOCK, folder, REMEDY, report=report)


def test_the_second_is_told_who_is_the_first(tmp_path: Path) -> None:
    me = f'process {os.getpid()} on {socket.gethostname()} since 2'
    for _ in range(2):
        with held(tmp_path):
            for _ in range(2):
                with refused(f'{tmp_path} is in use by {me}', REMEDY), held(tmp_path):
                    pytest.fail('two at once')
        assert not any(tmp_path.iterdir())


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    with held(tmp_path):
        pass


def test_a_killed_holder_keeps_nobody_out(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, '-c', HOLD, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / LOCK).read_text().startswith('process ')
    with held(tmp_path):
        pass


def test_many_who_come_and_go_are_never_two(tmp_path: Path) -> None:
    """The file is removed by whoever goes, so that one may wait at a file that has gone."""
    inside, most, entered = 0, 0, [0] * 4

    def come_and_go(me: int) -> None:
        nonlocal inside, most
        while entered[me] < 30:
            try:
                with held(tmp_path):
                    inside += 1
                    most = max(most, inside)
                    entered[me] += 1
                    inside -= 1
            except ValueError:
                pass

    threads = [threading.Thread(target=come_and_go, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert entered == [30] * 4
    assert most == 1


def test_who_loses_the_file_notices_and_leaves_that_of_the_next_alone(tmp_path: Path) -> None:
    folder = tmp_path / 'run'
    folder.mkdir()
    with held(folder) as still:
        assert still()
        folder.rename(tmp_path / 'moved')
        assert not still()
        folder.mkdir()
        assert not still()
        with held(folder) as another:
            assert another()
            assert not still()
            (tmp_path / 'moved').rename(folder / 'back')
        assert not still()
        (folder / LOCK).write_text('of another')
    assert (folder / LOCK).read_text() == 'of another'


@pytest.mark.parametrize('target', ['precious', 'nothing'])
def test_a_link_is_not_written_through(target: str, tmp_path: Path) -> None:
    (tmp_path / 'precious').write_text('precious')
    (tmp_path / LOCK).symlink_to(tmp_path / target)
    with refused(f'Remove it with rm -r {tmp_path / LOCK}, or go elsewhere.'), held(tmp_path):
        pass
    assert (tmp_path / 'precious').read_text() == 'precious'
    assert not (tmp_path / 'nothing').exists()


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_to_be_removed(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / LOCK)
    with refused(f'Remove it with rm -r {tmp_path / LOCK}, or go elsewhere.'), held(tmp_path):
        pass


@pytest.mark.parametrize('code', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_it_is_said_and_goes_on(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(number: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, 'flock', flock)
    lines: list[str] = []
    for _ in range(2):
        with held(tmp_path, report=lines.append) as still:
            (tmp_path / LOCK).unlink()
            assert still()
    assert len(lines) == 2
    assert f'{tmp_path} is on a file system without locks ({os.strerror(code)})' in lines[0]


@pytest.mark.parametrize('left', [b'', b'\xff\x00process', b'x' * 5000, b'process 1\non a\n'])
def test_what_is_no_name_is_not_told(left: bytes, tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / LOCK).write_bytes(left)
        with (
            refused('is in use by another process. Wait for its end, or go elsewhere.'),
            held(tmp_path),
        ):
            pass


@pytest.mark.skipif(not Path('/proc/self').is_dir(), reason='no /proc on this system')
def test_where_nobody_can_write_is_refused() -> None:
    with refused('/proc/self/.lock cannot be written: ', REMEDY), held(Path('/proc/self')):
        pass
