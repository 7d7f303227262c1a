"""A run that is killed and goes on is, to the last bit, the run that was not; for every algorithm.

Command: pytest -m slow tests/fitting/test_killed.py
"""

import functools
import signal
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.algorithms.test_contract import FOUND
from tests.fitting.kills import EVALUATED, HASH, SAID, End, Way, carry_out, kills
from tests.training import toy

Whole = Callable[[str, Way], Path]
PLAIN, OTHERWISE = Way(), Way('bfloat16', accumulate=2, devices=8)
WAYS = [
    pytest.param(PLAIN, 10, id='ten kills'),
    pytest.param(OTHERWISE, 3, id='three kills in bfloat16 in two parts on eight devices'),
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope='session')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Gives the directory of a run that nothing ended."""

    @functools.cache
    def of(name: str, way: Way) -> Path:
        directory = tmp_path_factory.mktemp('whole') / name
        assert carry_out(name, way, directory) == 0, said(directory)
        return directory

    return of


def said(directory: Path) -> str:
    return (directory / SAID).read_text()


def assert_same(run: Path, whole: Path) -> None:
    """The hash of the state, and all rows of metrics but their clocks."""
    assert (run / HASH).read_text() == (whole / HASH).read_text()
    assert toy.numbers(run) == toy.numbers(whole)


@pytest.mark.parametrize(('way', 'count'), WAYS)
@pytest.mark.parametrize('name', FOUND)
def test_kills_at_random_steps_leave_no_trace(
    name: str, way: Way, count: int, whole: Whole, tmp_path: Path
) -> None:
    expected = whole(name, way)
    for end in kills(count, seed=zlib.crc32(name.encode())):
        assert carry_out(name, way, tmp_path / 'run', end) == -signal.SIGKILL, end
    assert carry_out(name, way, tmp_path / 'run') == 0, said(tmp_path / 'run')
    assert_same(tmp_path / 'run', expected)


@pytest.mark.parametrize('name', FOUND)
def test_sigterm_in_the_step_before_an_evaluation_leaves_no_trace(
    name: str, whole: Whole, tmp_path: Path
) -> None:
    expected = whole(name, PLAIN)
    end = End(signal.SIGTERM, EVALUATED - 1)  # whose line is written while the next one runs
    assert carry_out(name, PLAIN, tmp_path / 'run', end) == 0
    assert carry_out(name, PLAIN, tmp_path / 'run') == 0, said(tmp_path / 'run')
    assert f'resuming after step {EVALUATED} of' in said(tmp_path / 'run')
    assert_same(tmp_path / 'run', expected)
