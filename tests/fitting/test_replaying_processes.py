"""Numbers that are not finite in a job of two processes: both repeat, roll back and replay alike.

Command: pytest -m slow tests/fitting/test_replaying_processes.py
"""

import json
from pathlib import Path

import numpy as np
import pytest

import jssl
from jssl.runs.orders import read_orders
from tests.fitting.test_rolling_back import TOGETHER, Quarrel, experiment
from tests.pairs import both
from tests.training import toy

SCRIPT = """
import dataclasses, sys
import jax
where, port, process, policy, *pair = sys.argv[1:]
jax.distributed.initialize(f'localhost:{port}', 2, int(process))
import jssl
from jssl.fitting.replaying import replay, rows_of
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.orders import read_orders
from jssl.training.settings import MeshShape
from tests.fitting import test_rolling_back as quarrels

quarrels.TOGETHER = [int(number) for number in pair]
subject = quarrels.experiment(quarrels.Quarrel())
runtime = dataclasses.replace(subject.runtime, non_finite=policy, mesh=MeshShape())
subject = dataclasses.replace(subject, runtime=runtime)
jssl.fit(subject, workdir=where)
identity = subject.listings['data'].identity
with Checkpoints(f'{where}/checkpoints', data=identity) as checkpoints:
    given = {'rows': rows_of(quarrels.Path(where)), 'orders': read_orders(quarrels.Path(where))}
    for step in (7, 12):
        found = replay(subject, checkpoints, step, from_start=step == 7, **given)
        count = len(found.inspection.index)
        print('replayed', found.step, 'from', found.start, found.logged, count)
"""


def together(workdir: Path, policy: str) -> list[tuple[int, str]]:
    """The exit codes of both processes, and what they said."""
    return both(SCRIPT, workdir, policy, *map(str, TOGETHER))


@pytest.mark.slow
def test_two_processes_roll_back_and_replay_as_one_does(tmp_path: Path) -> None:
    for code, said in together(tmp_path / 'two', 'roll_back'):
        assert code == 0, said
        assert 'replayed 7 from 0 True 16' in said
        assert 'replayed 12 from 8 True 16' in said
    jssl.fit(experiment(Quarrel()), workdir=tmp_path / 'one')
    assert read_orders(tmp_path / 'two') == read_orders(tmp_path / 'one')
    one, two = (
        [row['loss'] for row in toy.numbers(tmp_path / name) if 'loss' in row]
        for name in ('one', 'two')
    )
    np.testing.assert_allclose(two, one, rtol=1e-5)
    seen = [
        json.loads((tmp_path / name / 'replay' / '6' / 'replay.json').read_text())
        for name in ('one', 'two')
    ]
    for field in ('index', 'samples', 'not_finite', 'repeated_from'):
        assert seen[0][field] == seen[1][field]


@pytest.mark.slow
def test_two_processes_that_stop_name_the_same_step(tmp_path: Path) -> None:
    for code, said in together(tmp_path / 'run', 'stop'):
        assert code == 1
        assert "First not finite: terms['loss'] in step 6" in said
    assert (tmp_path / 'run' / 'replay' / '6' / 'views.png').is_file()
