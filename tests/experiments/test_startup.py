import functools
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import startup
from experiments.startup import COMPILING, PARTS, RUNNING, STEP, TRACING, Ledger, in_order, table
from tests.conftest import ROOT


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> tuple[Ledger, list[float]]:
    """One whose clock is read off the list; the CPU's runs twice as fast."""
    now = [100.0]
    monkeypatch.setattr(startup.time, 'time', lambda: now[0])
    monkeypatch.setattr(startup.time, 'process_time', lambda: 2 * (now[0] - 100.0))
    return Ledger(100.0), now


def test_each_second_is_counted_once_where_it_is_innermost(
    ledger: tuple[Ledger, list[float]],
) -> None:
    book, now = ledger
    now[0] += 1
    with book.span(part='baselines'):
        now[0] += 2
        with book.span(part='kNN'):
            now[0] += 4
            with book.span(part='kNN', kind=TRACING):  # the same part, however deep
                now[0] += 8
                with book.span(kind=COMPILING):
                    now[0] += 16
        now[0] += 32
    found = book.told()
    assert found['first_step'] is None
    parts = found['parts']
    assert {path: parts[path][RUNNING] for path in parts} == {
        '': 1,
        'baselines': 34,
        'baselines/kNN': 4,
    }
    assert (parts['baselines/kNN'][TRACING], parts['baselines/kNN'][COMPILING]) == (8, 16)
    assert [parts[path]['cpu'] for path in parts] == [2, 68, 56]
    lines = table('A run', {**found, 'first_step': 12.34})
    assert lines[-1].split()[-1] == '12.3'
    assert lines[-2].split() == ['together', '63.00', '126.00', '39.00', '0.00', '8.00', '16.00']


def test_parts_stand_behind_what_they_are_part_of() -> None:
    came = ['', 'start', 'start/kNN', 'loop', 'start/probe', 'loop/kNN']
    assert in_order(came) == ['', 'start', 'start/kNN', 'start/probe', 'loop', 'loop/kNN']


@pytest.mark.parametrize('place', [*PARTS, STEP])
def test_what_is_timed_is_what_a_run_calls(place: str) -> None:
    module, _, names = place.partition(':')
    found = functools.reduce(getattr, names.split('.'), importlib.import_module(module))
    assert callable(found)


def test_a_command_that_is_wrong_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert startup.main(['nonsense']) == 2
    assert 'nonsense' in capfd.readouterr().err


@pytest.mark.slow  # pytest -m slow tests/experiments/test_startup.py
def test_a_run_is_timed_from_the_command_to_the_report(tmp_path: Path) -> None:
    small = ['relative_loc', '--config.epochs=1', '--config.batch_size=512']
    command = [sys.executable, '-m', 'experiments.startup', '--json', *small]
    before = time.time()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    first, second = found['first'], found['second']
    for start in (first, second):
        told = sum(sum(part.values()) - part['cpu'] for part in start['parts'].values())
        assert 0.9 * start['seconds'] - 2 < told <= start['seconds']
    assert first['seconds'] + second['seconds'] < time.time() - before
    assert first['parts']['loop'][COMPILING] > second['parts']['loop'][COMPILING]
    assert first['parts']['conclusion/report/t-SNE'][RUNNING] > 0
    assert 'conclusion' not in second['parts']
