"""A run may be lengthened where no step that it has taken would be another, whatever says so."""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.fitting.fit import fit
from jssl.fitting.lengthening import changes
from jssl.optim.optimizers import SGD
from jssl.optim.schedules import Constant, MultiStep, TruncatedCosine, WarmupCosine
from jssl.runs.workdir import read_config
from tests.algorithms.test_contract import FOUND
from tests.checks import refused
from tests.fitting import kills
from tests.training import toy


@dataclasses.dataclass(frozen=True)
class WarmupStableDecay(Constant):
    """A schedule of a user's own, whose last epoch alone goes by the length of the run."""

    def __call__(self, base_lr: float, *, steps_per_epoch: int, epochs: float) -> Any:
        last, end = steps_per_epoch * (epochs - 1), steps_per_epoch * epochs

        def schedule(step: Any) -> Any:
            numpy = jnp if isinstance(step, jax.Array) else np
            return base_lr * numpy.clip((end - step) / (end - last), 0.0, 1.0)

        return schedule


@dataclasses.dataclass(frozen=True)
class Ramped(toy.Toy):
    """Its loss has a weight that goes by the length of the run, once `before` steps are taken."""

    before: int = 0

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        loss, rest = super().loss(params, state, batch)
        return loss * ramp(batch['step'], self.known_run.steps, self.before), rest


def ramp(step: jax.Array, steps: int, before: int) -> jax.Array:
    return jnp.where(step < before, 1.0, step / steps)


def between(before: int, after: int, done: int, **settings: Any) -> str:
    """What changes of so many steps, of toys of so many epochs."""
    algorithm = settings.pop('algorithm', None)
    make = functools.partial(toy.experiment, algorithm, **settings)
    return changes(make(epochs=before), make(epochs=after), done)


RISING = SGD(lr=1e-3, weight_decay=0.1, decay_schedule=WarmupCosine(min_lr=0.4))


@pytest.mark.parametrize(
    ('settings', 'done', 'words'),
    [
        ({'schedule': Constant(warmup_epochs=1)}, 12, ''),
        ({'schedule': MultiStep(milestones=(1, 2, 5))}, 12, ''),
        ({'schedule': optax.join_schedules([optax.constant_schedule(1.0)] * 2, [14])}, 12, ''),
        ({'schedule': WarmupCosine(cosine_epochs=3)}, 8, ''),
        ({'schedule': WarmupCosine()}, 1, ''),
        ({'schedule': WarmupCosine()}, 2, 'the learning rate of step 2 would be 0.000995722 in'),
        ({'schedule': TruncatedCosine()}, 12, 'the learning rate of step 2 would be'),
        ({'schedule': WarmupStableDecay()}, 9, ''),
        ({'schedule': WarmupStableDecay()}, 10, 'the learning rate of step 10 would be 0.001'),
        (
            {'optimizer': RISING},
            12,
            r'what follows from WarmupCosine._decay \(schedules.py\) at step 2 would be 0.1',
        ),
        ({'optimizer': RISING}, 1, ''),
        ({'algorithm': Ramped()}, 1, ''),
        (
            {'algorithm': Ramped()},
            9,
            r'what follows from ramp \(test_lengthening.py\) at step 2 would be 0.0416',
        ),
        ({'algorithm': Ramped(before=9)}, 9, ''),
        (
            {'algorithm': Ramped(before=9)},
            10,
            r'what follows from ramp \(test_lengthening.py\) at step 10 would',
        ),
    ],
)
def test_the_numbers_of_steps_taken_decide(settings: dict[str, Any], done: int, words: str) -> None:
    found = between(3, 6, done, **settings)
    assert re.match(words, found) if words else not found, found


def test_a_run_goes_on_to_the_end_of_a_longer_one_bit_by_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shortened in between, to where it is; then it cannot be shorter than it is."""
    long, short = (toy.experiment(epochs=count) for count in (3, 1))
    whole = fit(long, workdir=tmp_path / 'whole')
    fit(short, workdir=tmp_path / 'run')
    page = (tmp_path / 'run' / 'report.html').read_text()
    capsys.readouterr()
    longer = fit(long, workdir=tmp_path / 'run')
    said = capsys.readouterr().out
    assert 'a run of 1 epoch goes on to 3: its 4 steps would be the same' in said
    assert 'resuming after step 4 of 12' in said
    assert toy.numbers(tmp_path / 'run') == toy.numbers(tmp_path / 'whole')
    assert kills.digest(longer.train_state) == kills.digest(whole.train_state)
    assert (tmp_path / 'run' / 'report-1-epochs.html').read_text() == page
    assert (tmp_path / 'run' / 'report.html').read_text() != page
    assert read_config(tmp_path / 'run')['config']['epochs'] == 3
    with refused('has taken 12 steps, and 1 epoch would be 4', '--config.epochs=3, or more'):
        fit(short, workdir=tmp_path / 'run')


def test_a_run_whose_past_would_be_another_is_refused_with_a_remedy(tmp_path: Path) -> None:
    cosine = [toy.experiment(epochs=count, schedule=WarmupCosine()) for count in (1, 2)]
    fit(cosine[0], workdir=tmp_path / 'run')
    config = (tmp_path / 'run' / 'config.json').read_bytes()
    with refused(
        'has 1 epoch and cannot be one of 2: of the 4 steps that it has taken the learning rate',
        f'--workdir={tmp_path}/run-2 --config.pretrained={tmp_path}/run',
    ):
        fit(cosine[1], workdir=tmp_path / 'run')
    assert (tmp_path / 'run' / 'config.json').read_bytes() == config
    with refused('optimizer: "SGD(lr=0.001)" → "SGD(lr=0.002)"'):
        fit(dataclasses.replace(cosine[1], optimizer=SGD(lr=2e-3)), workdir=tmp_path / 'run')


OFTEN = ('DINO', 'MoCo', 'ODC')
# Their teachers' momentum goes by the length of the run.
LENGTH = ('BYOL', 'DINO', 'DINOv2', 'DINOv3', 'IBOT', 'IJEPA', 'MSN', 'MoCoV3', 'TiCo')


@pytest.mark.parametrize(
    'name',  # the others: pytest -m slow tests/fitting/test_lengthening.py
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in FOUND],
)
def test_algorithms_that_go_by_the_length_of_a_run_are_found(name: str) -> None:
    short = kills.experiment(name, kills.Way(), lambda step: None)
    longer = dataclasses.replace(short, epochs=2 * short.epochs)
    words = r'what follows from \w+_momentum \(teacher.py\) at step 2 would be 0.\d+ in place of'
    found = changes(short, longer, 6)
    assert re.match(words, found) if name in LENGTH else not found, found
    assert not changes(short, longer, 1)
