"""A state that is not finite is told by its leaves, and no run leaves one behind."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.algorithm import TrainState
from jssl.fitting.fit import fit
from jssl.runs.checkpoints import read_parts
from jssl.training.finite import not_finite
from jssl.training.settings import Checkpoint, Evaluate, MeshShape, Runtime
from tests.checks import refused
from tests.training import toy

BAD = {'nan': np.nan, 'inf': np.inf, '-inf': -np.inf}
PLACES = ("params['a']['b']", "state['queue']", "opt_state[0].mu['a']['b']")


def state(dtype: Any = jnp.float32) -> TrainState:
    """Numbers of every kind, the largest and smallest that are finite among them."""
    limits = jnp.finfo(dtype)
    kernel = jnp.asarray([[0, -0.0, limits.max], [limits.min, limits.tiny, 1]], dtype)
    params = {'a': {'b': kernel}, 'empty': {}}
    return TrainState(
        step=jnp.int32(3),
        params=params,
        state={'queue': kernel.T, 'labels': jnp.arange(3), 'none': jnp.zeros((0, 4))},
        opt_state=optax.adam(1e-3).init(params),
        rng=jax.random.key(0),
    )


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_what_is_finite_is_finite(dtype: Any) -> None:
    assert not_finite(state(dtype)) == []


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('value', BAD)
def test_one_number_is_found_and_named(value: str, place: str) -> None:
    leaves, structure = jax.tree_util.tree_flatten_with_path(state())
    changed = [
        leaf.at[1, 1].set(BAD[value]) if jax.tree_util.keystr(path) == f'.{place}' else leaf
        for path, leaf in leaves
    ]
    assert not_finite(jax.tree.unflatten(structure, changed)) == [place]


@dataclasses.dataclass(frozen=True)
class Breaks(toy.Toy):
    """The loss of step `at` is finite, and its gradient is not: the square root's at 0."""

    at: int = 0
    stored: bool = False

    def init(self, rng: jax.Array, batch: Any) -> tuple[Any, Any]:
        params, _ = super().init(rng, batch)
        return params, {'memory': jnp.zeros(4)}

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        loss, _ = super().loss(params, state, batch)
        steps = state['memory'] + 1
        now = steps[0] == self.at
        if self.stored:  # in what nobody looks at but a later step
            return loss, ({'memory': jnp.where(now, jnp.inf, steps)}, {})
        kernel = params[self.part]['kernel']
        moved = jnp.sum((kernel - jax.lax.stop_gradient(kernel)) ** 2)
        return loss + jnp.sqrt(moved + jnp.where(now, 0.0, 1.0)), ({'memory': steps}, {})


def runtime(every_steps: int) -> Runtime:
    return Runtime(
        log_every=1,
        evaluate=Evaluate(every_epochs=0),
        checkpoint=Checkpoint(every_steps=every_steps, keep=9),
        mesh=MeshShape(devices=1),
    )


@pytest.mark.parametrize('at', [6, 12])
def test_a_gradient_that_is_not_finite_is_not_saved(at: int, tmp_path: Path) -> None:
    """In the middle, and in the last step, after which nothing would notice it."""
    experiment = toy.experiment(Breaks(at=at), runtime=runtime(2))
    for _ in range(2):  # the same command ends in the same way, from the last good state
        with refused(
            f"Step {at} left NaN or infinity in params['backbone']['kernel']",
            'with a loss of ',
            'and a gradient norm of nan',
            f'the last good checkpoint is of step {at - 2}',
            'config.optimizer.lr',
            f"First not finite: gradients['backbone']['kernel'] in step {at}; ",
        ):
            fit(experiment, workdir=tmp_path)
        saved, step = read_parts(tmp_path / 'checkpoints', ('params',))
        assert step == at - 2
        assert np.isfinite(saved['params']['backbone']['kernel']).all()
    replay = json.loads((tmp_path / 'replay' / str(at) / 'replay.json').read_text())
    assert (replay['repeated_from'], replay['as_logged']) == (at - 2, True)
    assert not (tmp_path / 'backbone.safetensors').exists()
    rows = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert rows[-1]['step'] == at
    assert rows[-1]['grad_norm'] is None


def test_a_memory_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    experiment = toy.experiment(Breaks(at=3, stored=True), runtime=runtime(4))
    first = "First not finite: state['memory'] in step 3"
    with refused(
        "Step 4 left NaN or infinity in state['memory'], with", 'nothing was saved', first
    ):
        fit(experiment, workdir=tmp_path)
    assert not any((tmp_path / 'checkpoints').iterdir())


def test_between_two_saves_the_loss_tells(tmp_path: Path) -> None:
    experiment = toy.experiment(Breaks(at=2), runtime=runtime(8))
    with refused('The loss became nan by step 3', 'gradient norm of nan', "kernel'] in step 2"):
        fit(experiment, workdir=tmp_path)
    assert [path.name for path in (tmp_path / 'replay').iterdir()] == ['2']


def test_a_signal_saves_nothing_that_is_not_finite(tmp_path: Path) -> None:
    schedule = toy.stopped_in(6)
    experiment = toy.experiment(Breaks(at=6), runtime=runtime(4), schedule=schedule)
    with refused('Step 6 left NaN or infinity in', 'the last good checkpoint is of step 4'):
        fit(experiment, workdir=tmp_path)
