"""A run that is rolled back goes on in another order, and the same after a kill."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jssl
from jssl.fitting.replaying import replay, rows_of
from jssl.interrupts import Interrupted
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.orders import Orders, Turn, read_orders
from tests.checks import refused
from tests.training import toy
from tests.training.test_finite import Breaks, runtime

TOGETHER = toy.experiment().loader[5]['index'][:2]  # in the batch of step 6


@dataclasses.dataclass(frozen=True)
class Quarrel(toy.Toy):
    """The loss is not finite where two images are in one batch, after the first epoch."""

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        loss, rest = super().loss(params, state, batch)
        there = [(batch['index'] == int(image)).any() for image in TOGETHER]
        broken = there[0] & there[1] & (batch['step'] >= toy.EPOCH)
        return loss + jnp.where(broken, jnp.inf, 0.0), rest


def experiment(algorithm: jssl.Algorithm, every_steps: int = 4, **changes: Any) -> jssl.Experiment:
    settings = dataclasses.replace(runtime(every_steps), non_finite='roll_back')
    return toy.experiment(algorithm, runtime=settings, **changes)


def test_a_run_goes_on_in_another_order_from_the_last_checkpoint(tmp_path: Path) -> None:
    subject = experiment(Quarrel())
    jssl.fit(subject, workdir=tmp_path)
    orders = read_orders(tmp_path)
    assert orders.turns[0] == Turn(4, 6)
    assert (tmp_path / 'replay' / '6' / 'replay.json').is_file()
    numbers = toy.numbers(tmp_path)
    steps = [row for row in numbers if row['kind'] == 'step']
    assert [row['step'] for row in steps] == [*range(1, 13)]
    assert np.isfinite([row['loss'] for row in steps]).all()

    for step in (8, 12):  # as if the run had been killed before it saved them
        shutil.rmtree(tmp_path / 'checkpoints' / str(step))
    jssl.fit(subject, workdir=tmp_path)
    assert toy.numbers(tmp_path) == numbers

    identity = subject.listings['data'].identity
    with Checkpoints(tmp_path / 'checkpoints', data=identity) as checkpoints:
        given: dict[str, Any] = {'rows': rows_of(tmp_path), 'from_start': True}
        found = replay(subject, checkpoints, 7, orders=orders, **given)
        other = replay(subject, checkpoints, 7, orders=Orders(), **given)
    assert (found.logged, other.logged) == (True, False)
    (tmp_path / 'orders.json').rename(tmp_path / 'elsewhere')
    with refused('orders.json names 0', 'Put that file back'):
        jssl.fit(subject, workdir=tmp_path)
    np.testing.assert_array_equal(other.inspection.index, subject.loader[6]['index'])
    assert set(jax.device_get(found.inspection.index)) != {*subject.loader[6]['index']}


def test_what_no_order_helps_ends_the_run(tmp_path: Path) -> None:
    subject = experiment(Breaks(at=6), every_steps=2)
    with refused('Step 6 left NaN', 'So it was in 3 other orders of the data from step 4 on.'):
        jssl.fit(subject, workdir=tmp_path)
    assert len(read_orders(tmp_path).turns) == 3


def test_a_run_that_began_anew_is_known_by_its_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed after it was rolled back to its beginning, before it wrote anything more."""
    subject = experiment(Quarrel(), every_steps=12)
    jssl.fit(subject, workdir=tmp_path)
    numbers, orders = toy.numbers(tmp_path), read_orders(tmp_path)
    assert orders.turns[0] == Turn(0, 6)
    shutil.rmtree(tmp_path / 'checkpoints')
    (tmp_path / 'metrics.jsonl').unlink()
    with refused('holds a run of another config', 'batch_size'):
        jssl.fit(dataclasses.replace(subject, batch_size=8), workdir=tmp_path)
    capsys.readouterr()
    jssl.fit(subject, workdir=tmp_path)
    told = ' '.join(capsys.readouterr().out.split())
    assert 'beginning in another order than that of the seed, as orders.json says' in told
    assert (toy.numbers(tmp_path), read_orders(tmp_path)) == (numbers, orders)


@pytest.mark.parametrize(
    ('every_steps', 'after', 'said'),
    [(4, 4, 'after step 4, which is saved'), (12, 0, 'before anything was saved')],
)
def test_a_signal_in_the_step_that_is_rolled_back_is_not_lost(
    every_steps: int, after: int, said: str, tmp_path: Path
) -> None:
    subject = experiment(Quarrel(), every_steps, schedule=toy.stopped_in(6))
    with pytest.raises(Interrupted, match=f'SIGTERM {said}'):
        jssl.fit(subject, workdir=tmp_path)
    assert read_orders(tmp_path).turns == (Turn(after, 6),)
    jssl.fit(subject, workdir=tmp_path)
    steps = [row for row in toy.numbers(tmp_path) if row['kind'] == 'step']
    assert [row['step'] for row in steps] == [*range(1, 13)]
    assert read_orders(tmp_path).turns[0] == Turn(after, 6)
