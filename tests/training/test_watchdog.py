"""A job of two processes, one of which hangs or is killed: both end, and say where."""

import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jssl.training.watchdog import Watchdog, place
from tests.pairs import both

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import jax
import jssl
from jssl.data import Arrays
from jssl.errors import JsslError
from jssl.training.settings import Checkpoint, Evaluate, Runtime
from tests.training import toy

where, port, process, mode = sys.argv[1:]
jax.distributed.initialize(f'localhost:{port}', 2, int(process))


def steps():
    metrics = Path(where) / 'metrics.jsonl'
    return metrics.read_text().count('"kind": "step"') if metrics.exists() else 0


class Failing(Arrays):
    def __getitem__(self, index):
        if process == '1' and mode == 'hangs' and os.path.isdir(f'{where}/checkpoints/4'):
            time.sleep(1000)
        if process == '1' and mode == 'dies' and steps() > 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


runtime = Runtime(
    log_every=1,
    resident='no',
    threads=0,
    evaluate=Evaluate(every_epochs=0),
    checkpoint=Checkpoint(every_steps=4 if mode == 'hangs' else 1000),
    stall_minutes=0.05 if mode == 'hangs' else 5,
)
data = Failing(toy.images(64, 0))
try:
    jssl.fit(toy.experiment(runtime=runtime, data=data, test_data=None, epochs=50), workdir=where)
except JsslError as error:
    print(error, file=sys.stderr, flush=True)
    raise SystemExit(2) from None
"""


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_job_and_each_says_where_it_waits(tmp_path: Path) -> None:
    for number, (status, said) in enumerate(both(SCRIPT, tmp_path / 'run', 'hangs')):
        assert (
            f'jssl: process {number} of 2 on {socket.gethostname()} ends: for 0.05 minutes' in said
        )
        assert 'nothing has happened after "step ' in said
        assert status != 0
    assert 'It waits in data/' in said
    assert (tmp_path / 'run' / 'checkpoints' / '4').is_dir()


@pytest.mark.slow
def test_a_process_that_dies_ends_the_job_with_a_line(tmp_path: Path) -> None:
    (status, said), (killed, _) = both(SCRIPT, tmp_path / 'run', 'dies')
    assert killed == -9
    assert status != 0
    assert 'Process 0 of 2 cannot go on after "step ' in said
    assert 'The same command on every host continues' in said


def test_a_process_alone_is_left_to_wait() -> None:
    before = threading.active_count()
    with Watchdog(lambda: (0, 'the start'), minutes=1.0):
        assert threading.active_count() == before


def test_the_place_is_that_of_the_main_thread_in_jssl() -> None:
    assert re.fullmatch(r'training/watchdog\.py, line \d+', place())
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(place).result() == 'a program of your own'  # this one
