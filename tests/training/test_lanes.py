"""Side by side or in turn, a lane takes the step of its own run."""

import jax
import numpy as np
import pytest

from jssl.optim.optimizers import SGD
from jssl.training import sharding
from jssl.training.lanes import InTurn, SideBySide, lanes_of
from jssl.training.rows import as_rows
from jssl.training.sweep import Sweep
from tests.training import toy

SETTINGS = [{'optimizer.lr': 1e-3}, {'optimizer.lr': 2e-2}]


@pytest.mark.parametrize('kind', [SideBySide, InTurn])
def test_a_lane_takes_the_steps_of_its_own_run(kind: type[SideBySide | InTurn]) -> None:
    lanes = [toy.experiment(optimizer=SGD(lr=setting['optimizer.lr'])) for setting in SETTINGS]
    sweep = Sweep(lanes, SETTINGS)
    data = sharding.put_replicated(as_rows(lanes[0].arrays), lanes[0].mesh)
    together = kind(*sweep.program, lanes[0].state_shardings)
    states = together.join([sweep.make_state(number) for number in range(2)])
    alone, batches = lanes[1].make_state(), sweep.batches(0)
    for _ in range(2):
        rows = next(batches)
        states, metrics = together.step(states, rows, data)
        alone, expected = lanes[1].step(alone, sharding.put_batch(rows[1], lanes[1].mesh), data)
        found = together.split(metrics)
        assert found[1] == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-5)
        assert found[0]['loss'] != found[1]['loss'] or int(alone.step) == 1
    mine = together.pick(states, 1)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), mine.params, alone.params
    )
    assert int(mine.step) == 2


def test_a_cpu_takes_them_in_turn() -> None:
    found = toy.experiment()
    assert isinstance(lanes_of(lambda: None, [], found.state_shardings), InTurn)
