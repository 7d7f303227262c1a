"""Callbacks in a job of two processes: the first calls them, and both end where one wants it."""

from pathlib import Path

import pytest

from tests.pairs import both

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
    found = both(SCRIPT, tmp_path / 'run', mode, devices=2)
    (_, first), (_, second) = found
    assert 'told 5' in first
    assert 'told' not in second
    if mode == 'stop':
        assert first.count('ended after 8') == second.count('ended after 8') == 1, first + second
    else:
        assert 'The callback Stop failed in on_log at step 5: ValueError: broken' in first
        assert 'A callback of process 0 failed. Step 8 is saved' in second
        assert [status for status, _ in found] == [1, 1]
