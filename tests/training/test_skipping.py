"""Steps that are not finite are left out, counted, and too many of them end the run."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jssl
from jssl.runs.metrics import STEP, of_kind
from jssl.training import sharding
from jssl.training.rows import as_rows
from tests.checks import refused
from tests.training import toy
from tests.training.test_finite import Breaks, runtime


@dataclasses.dataclass(frozen=True)
class Once(Breaks):
    """The gradient of step `at`, or its memory, is not finite, whatever the state."""

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        memory = jnp.where(batch['step'] == self.at - 1, self.at - 1.0, -9.0)
        loss, (left, metrics) = super().loss(params, {'memory': jnp.full(4, memory)}, batch)
        finite = state['memory'] + 1
        return loss, ({'memory': jnp.where(jnp.isinf(left['memory']), jnp.inf, finite)}, metrics)


def experiment(algorithm: jssl.Algorithm, **changes: Any) -> jssl.Experiment:
    settings = dataclasses.replace(runtime(4), non_finite='skip', **changes)
    return toy.experiment(algorithm, runtime=settings)


@pytest.mark.parametrize('stored', [False, True])
def test_such_a_step_leaves_everything_but_its_number(stored: bool) -> None:
    subject = experiment(Once(at=2, stored=stored))
    data = sharding.put_replicated(as_rows(subject.arrays), subject.mesh)
    state, seen, counts = subject.make_state(), [], []
    for number in range(3):
        batch = sharding.put_batch(subject.loader[number], subject.mesh)
        state, metrics = subject.step(state, batch, data)
        counts.append((int(metrics['skipped']), int(metrics['skipped_in_a_row'])))
        seen.append(jax.device_get((state.params, state.state, state.opt_state.inner)))
    assert counts == [(0, 0), (1, 1), (1, 0)]
    assert int(state.step) == 3
    jax.tree.map(np.testing.assert_array_equal, seen[1], seen[0])
    assert np.any(seen[2][0]['backbone']['kernel'] != seen[1][0]['backbone']['kernel'])
    np.testing.assert_array_equal(seen[2][1]['memory'], np.full(4, 2.0))


def test_a_run_goes_on_and_tells(tmp_path: Path) -> None:
    outcome = jssl.fit(experiment(Once(at=6)), workdir=tmp_path)
    rows = of_kind(jssl.runs.metrics.read_metrics(tmp_path / 'metrics.jsonl'), STEP)
    assert [int(row['skipped']) for row in rows] == [0] * 5 + [1] * 7
    assert np.isfinite(outcome.train_state.params['backbone']['kernel']).all()
    assert not (tmp_path / 'replay').exists()


def test_too_many_in_a_row_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('jssl.training.run_log.MOST', 3)
    first = "First not finite: gradients['backbone']['kernel'] in step "
    with refused('The last 3 steps or more were left out by step 7', first):
        jssl.fit(experiment(Breaks(at=5)), workdir=tmp_path)  # from there on all are
