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
from jssl.training.skipping import left_out_by, replay_command, too_many
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


def test_a_run_goes_on_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = jssl.fit(experiment(Once(at=6)), workdir=tmp_path)
    told = ' '.join(capsys.readouterr().out.split())
    assert (
        'left out 1 of 12 steps, whose numbers were not finite, the last of them by step 6: '
        in told
    )
    assert f'jssl replay {tmp_path} --step=6' in told
    rows = of_kind(jssl.runs.metrics.read_metrics(tmp_path / 'metrics.jsonl'), STEP)
    assert [int(row['skipped']) for row in rows] == [0] * 5 + [1] * 7
    assert np.isfinite(outcome.train_state.params['backbone']['kernel']).all()
    assert not (tmp_path / 'replay').exists()


def test_too_many_in_a_row_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('jssl.training.skipping.MOST', 3)
    first = "First not finite: gradients['backbone']['kernel'] in step "
    with refused('The last 3 steps or more were left out by step 7', first, '--step=7` repeats'):
        jssl.fit(experiment(Breaks(at=5)), workdir=tmp_path)  # from there on all are


@dataclasses.dataclass(frozen=True)
class Mostly(toy.Toy):
    """The loss of all steps but the first four and the last is not finite."""

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        loss, rest = super().loss(params, state, batch)
        broken = (batch['step'] >= 4) & (batch['step'] < toy.STEPS - 1)
        return jnp.where(broken, jnp.nan, loss), rest


def test_a_run_that_leaves_out_most_of_its_steps_ends_with_an_error(tmp_path: Path) -> None:
    for _ in range(2):  # the same command ends in the same way
        with refused(
            *('7 of 12 steps were left out', 'the last good checkpoint is of step 8'),
            *(f'`jssl replay {tmp_path} --step=11` repeats', 'First not finite: '),
        ):
            jssl.fit(experiment(Mostly()), workdir=tmp_path)
    assert not (tmp_path / 'backbone.safetensors').exists()


@pytest.mark.parametrize(
    ('skipped', 'in_a_row', 'step', 'last', 'said'),
    [
        (4, 1, 8, True, ''),
        (5, 1, 8, True, '5 of 8 steps were left out'),
        (5, 1, 8, False, ''),
        (50, 1, 99, False, '50 of 99 steps were left out'),
        (50, 1, 100, False, ''),
        (50, 50, 1000, False, 'The last 50 steps or more were left out by step 1000'),
    ],
)
def test_how_many_are_too_many(
    skipped: int, in_a_row: int, step: int, last: bool, said: str
) -> None:
    metrics = {'skipped': skipped, 'skipped_in_a_row': in_a_row}
    assert too_many(metrics, step, last=last) == said
    assert too_many({'loss': 1.0}, step, last=last) == ''


def test_the_row_that_tells_of_a_step_left_out_is_found(tmp_path: Path) -> None:
    rows = [{'step': step, 'skipped': skipped} for step, skipped in ((4, 0), (8, 2), (12, 2))]
    assert (left_out_by(rows, 2), left_out_by(rows, 3)) == (8, None)
    assert replay_command(tmp_path / 'a b', 4, [4, 8]) == (
        f"jssl replay '{tmp_path}/a b' --step=4 --from_start"
    )
