"""A step of a run repeated: the same numbers, and what is refused."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jssl
from jssl.data import Arrays
from jssl.fitting.replaying import Replay, check_data, replay, rows_of
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.workdir import read_config
from tests.checks import refused
from tests.training import toy


@dataclasses.dataclass(frozen=True)
class Refreshed(toy.Toy):
    """Changes its parameters between epochs, by the features of all images and by chance."""

    def refreshes(self, epoch: int) -> bool:
        return epoch > 0

    def refresh(self, params: Any, state: Any, features: jax.Array, rng: jax.Array) -> Any:
        chance = jax.random.uniform(rng) + jnp.mean(features)
        return jax.tree.map(lambda leaf: leaf * (1 + 0.1 * chance), params), state


SUBJECT = toy.experiment(Refreshed())  # saves every fourth step, and then refreshes


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp('replay')
    jssl.fit(SUBJECT, workdir=directory)
    return directory


@pytest.fixture
def checkpoints(run: Path) -> Iterator[Checkpoints]:
    identity = SUBJECT.listings['data'].identity
    with Checkpoints(run / 'checkpoints', data=identity) as found:
        yield found


def repeated(run: Path, checkpoints: Checkpoints, step: int, **options: Any) -> Replay:
    return replay(SUBJECT, checkpoints, step, rows=rows_of(run), **options)


@pytest.mark.parametrize(('step', 'start'), [(6, 4), (9, 8), (12, 8)])
def test_a_step_is_repeated_exactly(
    step: int, start: int, run: Path, checkpoints: Checkpoints
) -> None:
    found = repeated(run, checkpoints, step)
    assert (found.step, found.start, found.logged) == (step, start, True)
    assert found.not_finite == []
    batch = SUBJECT.loader[step - 1]
    np.testing.assert_array_equal(found.inspection.index, batch['index'])
    np.testing.assert_allclose(found.inspection.gradients[''], found.metrics['grad_norm'], 1e-6)
    assert found.inspection.gradients.keys() == {'', 'backbone', 'backbone.kernel'}


def test_the_whole_run_is_repeated_where_that_is_asked_for(
    run: Path, checkpoints: Checkpoints
) -> None:
    found = repeated(run, checkpoints, 6, from_start=True)
    assert (found.start, found.logged) == (0, True)


def test_a_line_that_says_otherwise_is_noticed(run: Path, checkpoints: Checkpoints) -> None:
    rows = [dict(row) | ({'loss': 1.0} if row['kind'] == 'step' else {}) for row in rows_of(run)]
    assert replay(SUBJECT, checkpoints, 6, rows=rows).logged is False


def test_what_cannot_be_repeated_is_refused(
    run: Path, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    words = ('There is no checkpoint before step 3', 'only of [12, 8, 4]', 'later --step than 4')
    with refused(*words, '--from_start'):
        repeated(run, checkpoints, 3)
    with refused('--step=13 is beyond the run, which has 12 steps', '--step=12'):
        repeated(run, checkpoints, 13)
    some = [row for row in rows_of(run) if row['step'] <= 5]
    with Checkpoints(tmp_path / 'none') as none:
        with refused('--step=7 is not reached', '6 of 12 steps', 'resume'):
            replay(SUBJECT, none, 7, rows=some)
        with refused('There is no checkpoint before step 6', '; add --from_start'):
            replay(SUBJECT, none, 6, rows=some)


def test_other_data_are_refused(run: Path) -> None:
    known = read_config(run)['data']
    check_data(run, known, SUBJECT, same_data=False)
    other = toy.experiment(Refreshed(), data=Arrays(toy.images(64, 5)))
    with refused('config.data is not what the run in', 'put the data back'):
        check_data(run, known, other, same_data=True)
    touched = {'data': known['data'] | {'stamps': 'others'}}
    with refused('other sizes, times', '--same_data'):
        check_data(tmp := run / 'elsewhere', touched, SUBJECT, same_data=False)
    check_data(tmp, touched, SUBJECT, same_data=True)
