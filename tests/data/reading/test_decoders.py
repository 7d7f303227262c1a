"""Decoding in processes: the same bytes, and nothing left behind whatever happens."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl.data.loading.loader import Loader
from jssl.data.reading import decoders
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import TFDS, Arrays, Sample
from tests.checks import refused
from tests.conftest import ROOT
from tests.data.loading.test_loader import BROKEN, SOURCE, assert_same, first

RUN = """
import numpy as np, sys, time
from jssl.data.loading.loader import Loader
from jssl.data.sources import Arrays
source = Arrays(np.zeros((64, 20, 20, 3), np.uint8))
batches = Loader(source, batch_size=8, canvas=20, workers=2).iterate()
print(next(batches)['index'].shape, flush=True)
time.sleep({seconds})
"""
OWN_CLASS = """
import numpy as np
from jssl.data.loading.loader import Loader
class Own(list):
    pass
source = Own([dict(image=np.zeros((4, 4), np.uint8))] * 4)
try:
    next(Loader(source, batch_size=2, canvas=4, workers=1).iterate())
except ValueError as error:
    print(error)
"""


class Failing:
    """A user's source with a mistake in it."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Sample:
        if index == 0:
            return {'image': np.zeros((4, 4), np.uint8)}
        raise ZeroDivisionError("a mistake of one's own")


def workers() -> dict[int, int]:
    """The decode workers on this machine, each with the process that started it."""
    found = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            if b'jssl.data.reading.worker' in (folder / 'cmdline').read_bytes():
                parent = (folder / 'stat').read_text().rpartition(')')[2].split()[1]
                found[int(folder.name)] = int(parent)
        except OSError:  # it has ended meanwhile
            continue
    return found


def own_workers() -> list[int]:
    return [worker for worker, parent in workers().items() if parent == os.getpid()]


def wait_until_gone(numbers: list[int]) -> None:
    for _ in range(200):
        if not set(numbers) & set(workers()):
            return
        time.sleep(0.05)
    raise AssertionError(f'still there: {numbers}')


def run(seconds: float) -> subprocess.Popen[str]:
    """A program that iterates a loader with two workers, once it has its first batch."""
    command = [sys.executable, '-c', RUN.format(seconds=seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == '(8,)\n'
    return process


@pytest.mark.parametrize(('count', 'threads'), [(1, 0), (2, 3)])
def test_processes_change_nothing(count: int, threads: int) -> None:
    loader = Loader(SOURCE, batch_size=6, canvas=20, workers=count, threads=threads)
    kept = first(loader, 11, start=5)  # more than the shared memory holds: none may be overwritten
    for step, batch in enumerate(kept):
        assert_same(batch, loader[5 + step])
    assert not own_workers()


def test_real_files_on_two_hosts(digits_dir: str) -> None:
    source = TFDS('embedded_digits', 'test[:60]', digits_dir)
    shares = [
        first(Loader(source, 20, canvas=32, shards=(host, 2), workers=1), 2, start=4)
        for host in range(2)
    ]
    for step, parts in enumerate(zip(*shares, strict=True)):
        joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
        assert_same(joined, Loader(source, 20, canvas=32)[4 + step])


def test_memory_is_used_again_once_a_batch_is_let_go() -> None:
    batches: Any = Loader(SOURCE, batch_size=6, canvas=20, workers=1).iterate()
    places = {next(batches)['canvas'].pixels.ctypes.data for _ in range(30)}
    batches.close()
    assert len(places) <= 7


def test_bad_samples_travel_with_the_batch() -> None:
    said: list[str] = []
    bad_samples = BadSamples(8, 0.2, said.append)
    batches = first(Loader(BROKEN, 8, canvas=20, workers=2, bad_samples=bad_samples), 3)
    assert bad_samples.count == len(said) == 1
    assert sorted(batches[0]['label']) == [0, 0, 1, 2, 3, 4, 5, 6]
    with refused('1 of 8 samples cannot be read', 'sample 7'):
        first(Loader(BROKEN, 8, canvas=20, workers=2), 1)
    assert not own_workers()


def test_a_killed_worker_is_an_error_not_a_hang() -> None:
    batches = Loader(SOURCE, batch_size=6, canvas=20, workers=2).iterate()
    next(batches)
    os.kill(own_workers()[0], signal.SIGKILL)
    with refused('decode worker ended unexpectedly (SIGKILL)', 'config.workers'):
        for _ in itertools.islice(batches, 20):
            pass
    assert not own_workers()


def test_a_worker_that_hangs_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, 'PATIENCE', 1.5)
    batches = Loader(SOURCE, batch_size=6, canvas=20, workers=2).iterate()
    with refused('a decode worker has not answered for 0.025 minutes', 'repeat the command'):
        next(batches)  # where the machine is very busy, this takes as long already
        os.kill(own_workers()[0], signal.SIGSTOP)
        for _ in itertools.islice(batches, 20):
            pass
    assert not own_workers()


def test_a_mistake_in_a_source_is_shown_with_its_place() -> None:
    line = Failing.__getitem__.__code__.co_firstlineno + 3
    with refused(f"ZeroDivisionError: a mistake of one's own (test_decoders.py, line {line})"):
        first(Loader(Failing(), batch_size=8, canvas=4, workers=1), 1)
    assert not own_workers()


def test_a_source_that_cannot_be_pickled_is_refused() -> None:
    source = Arrays(SOURCE.images, labels=SOURCE.labels)
    object.__setattr__(source, 'opened', lambda: None)
    with refused('Arrays cannot go to a worker process', 'config.workers to 0'):
        first(Loader(source, batch_size=6, canvas=20, workers=1), 1)


def test_a_source_of_the_program_itself_is_refused() -> None:
    command = [sys.executable, '-c', OWN_CLASS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert 'cannot take the data source over' in done.stdout
    assert 'in a module that can be imported' in done.stdout
    assert done.stderr == ''


def test_the_end_of_a_program_ends_its_workers() -> None:
    process = run(seconds=1)
    started = [worker for worker, parent in workers().items() if parent == process.pid]
    assert len(started) == 2
    assert process.communicate(timeout=30) == ('', '')
    assert process.returncode == 0
    wait_until_gone(started)


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_a_stopped_program(number: signal.Signals) -> None:
    process = run(seconds=60)
    started = [worker for worker, parent in workers().items() if parent == process.pid]
    assert len(started) == 2
    os.kill(process.pid, number)
    process.wait(30)
    wait_until_gone(started)
    process.communicate()


def test_a_worker_heeds_no_signal_that_is_meant_for_the_run() -> None:
    batches: Any = Loader(SOURCE, batch_size=6, canvas=20, workers=1).iterate()
    next(batches)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(own_workers()[0], number)
    for _ in range(8):
        next(batches)
    batches.close()


def test_a_worker_needs_no_jax() -> None:
    code = (
        'import sys, jssl.data.reading.worker; print({"jax", "grain", "flax"} & set(sys.modules))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == 'set()'
