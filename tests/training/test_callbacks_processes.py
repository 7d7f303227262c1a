"""Callbacks in a job of two processes: the first calls them, and both end where one wants it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import QUICK, ROOT

SCRIPT = """
import sys
import jax
import jssl
from jssl.training.settings import Checkpoint, Evaluate, Runtime
from tests.training import toy

where, port, process, mode = sys.argv[1:]
jax.distributed.initialize(f'localhost:{port}', 2, int(process))


class Stop(jssl.Callback):
    def on_log(self, step, metrics):
        print('told', step)
        if step == 5 and mode == 'fail':
            raise ValueError('broken')
        return step == 5


runtime = Runtime(log_every=1, evaluate=Evaluate(every_epochs=0), checkpoint=Checkpoint(keep=9))
outcome = jssl.fit(toy.experiment(runtime=runtime), workdir=where, callbacks=[Stop()])
print('ended after', int(outcome.train_state.step))
"""


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['stop', 'fail'])
def test_both_processes_end_at_the_same_step(mode: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        port = str(probe.getsockname()[1])
    flags = f'--xla_force_host_platform_device_count=2 {QUICK}'
    both = [
        subprocess.Popen(
            [sys.executable, '-c', SCRIPT, str(tmp_path / 'run'), port, process, mode],
            cwd=ROOT,
            env=os.environ | {'XLA_FLAGS': flags, 'PYTHONPATH': str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in '01'
    ]
    first, second = (process.communicate(timeout=300)[0] for process in both)
    assert 'told 5' in first
    assert 'told' not in second
    if mode == 'stop':
        assert first.count('ended after 8') == second.count('ended after 8') == 1, first + second
    else:
        assert 'The callback Stop failed in on_log at step 5: ValueError: broken' in first
        assert 'A callback of process 0 failed. Step 8 is saved' in second
        assert [process.returncode for process in both] == [1, 1]
