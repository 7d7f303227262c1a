import dataclasses
import functools
import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import jssl
from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, TrainState
from jssl.augment.views import MultiView, View
from jssl.data import Canvas
from jssl.training import sharding
from jssl.training.step import (
    Step,
    checked,
    gather,
    init_train_state,
    jit_once,
    make_train_step,
    make_views,
    step_keys,
)
from tests.checks import assert_trees_close, refused, tiny_simclr, well_scaled, widened

IMAGES, BATCH, SIDE = 48, 16, 8
OPTIMIZER = optax.adamw(3e-3)
SIMCLR = tiny_simclr(temperature=0.5)
CALLS: list[str] = []


def tinted(key: jax.Array, canvas: Canvas) -> dict[str, Any]:
    """Two views that compile in no time: the image with its colours made fainter at random."""
    first, second = jax.random.uniform(key, (2, 1, 1, 3), minval=0.8)
    pixels = canvas.pixels / 256 - 0.5  # exact, so that no program rounds it its own way
    return {'views': (pixels * first, pixels * second)}


@functools.cache
def data() -> dict[str, Any]:
    """Images of four coarse patches."""
    patches = np.random.default_rng(0).integers(0, 256, (IMAGES, 2, 2, 3), 'uint8')
    return {
        'canvas': Canvas(
            patches.repeat(SIDE // 2, axis=1).repeat(SIDE // 2, axis=2),
            np.full((IMAGES, 2), SIDE, 'int32'),
        ),
        'label': np.arange(IMAGES, dtype='int32') % 4,
    }


def batch(step: int) -> dict[str, Any]:
    """What a loader gives for a step."""
    index = (np.arange(BATCH, dtype='int32') + step * BATCH) % IMAGES
    return {'index': index, **jax.tree.map(lambda values: values[index], data())}


def begin(algorithm: Algorithm, seed: int = 0) -> TrainState:
    return init_train_state(algorithm, tinted, OPTIMIZER, batch(0), seed=seed)


@functools.cache
def plain_step() -> Step:
    """The step on one device, compiled once for all tests that need no other."""
    return make_train_step(SIMCLR, tinted, OPTIMIZER)


def fresh() -> TrainState:
    """A first state; its values are drawn by NumPy, since compiling `init` takes long."""
    shapes = jax.eval_shape(functools.partial(begin, SIMCLR))
    params, state = well_scaled((shapes.params, shapes.state))
    return TrainState(jnp.array(0), params, state, OPTIMIZER.init(params), jax.random.key(0))


def losses(mesh: Mesh) -> list[float]:
    """The first five losses of a run on `mesh` in float64, its state split by the rule.

    Adam divides small gradients by their own size, which makes 1e-10 of rounding in five steps.
    """
    shardings = sharding.state_shardings(fresh(), mesh)
    with jax.enable_x64(True):
        state = jax.device_put(widened(fresh()), shardings)
        step = make_train_step(SIMCLR, tinted, OPTIMIZER, shardings=shardings)
        found = []
        for number in range(5):
            state, metrics = step(state, sharding.put_batch(batch(number), mesh))
            found.append(float(metrics['loss']))
    assert jax.tree.map(lambda leaf: leaf.sharding, state.params) == shardings.params
    return found


@functools.cache
def losses_on_one_device() -> list[float]:
    return losses(sharding.make_mesh(devices=1))


def test_a_run_makes_progress_and_reports_it() -> None:
    state, history = fresh(), []
    for number in range(40):
        state, metrics = plain_step()(state, batch(number))
        history.append(jax.device_get(metrics))
    assert set(history[0]) == {'loss', 'grad_norm', 'accuracy'}
    assert all(np.shape(value) == () for value in history[0].values())
    late = {key: np.mean([metrics[key] for metrics in history[-5:]]) for key in history[0]}
    # Between 2.1 at the start and 1.62, where all images are orthogonal.
    assert late['loss'] < history[0]['loss'] - 0.2
    assert late['accuracy'] > 0.95
    assert int(state.step) == 40
    assert (jax.random.key_data(state.rng) == jax.random.key_data(fresh().rng)).all()


def test_the_state_that_goes_in_is_given_up() -> None:
    before = fresh()
    after, _ = plain_step()(before, batch(0))
    for part in (before.params, before.state, before.opt_state):
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(part))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(after.params))


@pytest.mark.usefixtures('float64')
def test_rows_gathered_on_the_device_give_the_same_steps() -> None:
    streamed, resident = widened(fresh()), widened(fresh())
    whole = jax.tree.map(jnp.asarray, data())
    for number in range(3):
        streamed, expected = plain_step()(streamed, batch(number))
        resident, metrics = plain_step()(resident, {'index': batch(number)['index']}, whole)
        assert_trees_close(metrics, expected, rtol=1e-10)
    assert_trees_close(resident.params, streamed.params, rtol=1e-8, atol=1e-10)
    assert_trees_close(resident.state, streamed.state, rtol=1e-8, atol=1e-10)


def test_two_devices_give_the_losses_of_one() -> None:
    two = sharding.make_mesh(devices=2)
    np.testing.assert_allclose(losses(two), losses_on_one_device(), rtol=1e-8)


@pytest.mark.parametrize(('devices', 'fsdp'), [(4, 2), (8, 8)])
def test_a_split_state_gives_the_losses_of_a_whole_one(
    devices: int, fsdp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = losses_on_one_device()
    monkeypatch.setattr(sharding, 'SMALLEST_SHARDED', 16)
    mesh = sharding.make_mesh(devices=devices, fsdp=fsdp)
    shardings = jax.tree.leaves(sharding.state_shardings(fresh(), mesh))
    assert sum(not leaf.is_fully_replicated for leaf in shardings) > 10
    np.testing.assert_allclose(losses(mesh), expected, rtol=1e-8)


def test_the_first_state_depends_on_the_seed_and_not_on_the_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharding, 'SMALLEST_SHARDED', 16)
    initialise = functools.partial(begin, Alignment(encoder=nn.Dense(8)))
    shapes = jax.eval_shape(initialise)
    shardings = sharding.state_shardings(shapes, sharding.make_mesh(fsdp=8))
    whole, split = jax.jit(initialise)(), jax.jit(initialise, out_shardings=shardings)()
    assert not split.params['kernel'].sharding.is_fully_replicated
    assert_trees_close(split.params, whole.params, rtol=0)
    assert jax.tree.map(jnp.shape, whole) == jax.tree.map(jnp.shape, shapes)
    assert not np.allclose(initialise(seed=1).params['kernel'], whole.params['kernel'])


def test_an_image_s_key_depends_on_its_place_in_the_global_batch_alone() -> None:
    rows, key = batch(0), jax.random.key(3)
    on_one = make_views(tinted, key, rows)['views']
    mesh = sharding.make_mesh()
    split = jax.jit(functools.partial(make_views, tinted))(key, sharding.put_batch(rows, mesh))
    assert_trees_close(split['views'], on_one, atol=1e-6)
    fewer = make_views(tinted, key, jax.tree.map(lambda values: values[:5], rows))['views']
    assert_trees_close(fewer, jax.tree.map(lambda view: view[:5], on_one), atol=1e-6)


def test_one_image_in_two_places_gets_two_augmentations() -> None:
    rows = jax.tree.map(lambda values: values[np.array([0, 0])], batch(0))
    first, second = make_views(tinted, jax.random.key(3), rows)['views']
    pictures = np.stack([first[0], first[1], second[0], second[1]]).reshape(4, -1)
    assert len(np.unique(pictures.round(3), axis=0)) == 4


def test_every_step_has_keys_of_its_own() -> None:
    rng = jax.random.key(0)
    keys = [jax.random.key_data(key) for step in jnp.arange(3) for key in step_keys(rng, step)]
    assert len(np.unique(np.stack(keys), axis=0)) == 6
    again = jax.random.key_data(step_keys(rng, jnp.array(2))[1])
    np.testing.assert_array_equal(again, keys[-1])


def test_canvases_are_replaced_by_views_and_the_rest_is_kept() -> None:
    seen = make_views(tinted, jax.random.key(0), batch(1))
    assert set(seen) == {'index', 'label', 'views'}
    np.testing.assert_array_equal(seen['label'], batch(1)['label'])


def test_gathered_rows_are_those_of_the_index_and_the_batch_has_the_last_word() -> None:
    whole: dict[str, Any] = {
        'canvas': Canvas(jnp.arange(10.0), jnp.ones((10, 2))),
        'label': jnp.arange(10),
    }
    rows: Any = gather({'index': jnp.array([7, 2]), 'label': jnp.array([0, 0])}, whole)
    np.testing.assert_array_equal(rows['canvas'].pixels, [7, 2])
    assert rows['canvas'].size.shape == (2, 2)
    np.testing.assert_array_equal(rows['label'], [0, 0])
    assert gather({'index': jnp.array([7])}, None) == {'index': jnp.array([7])}


def test_a_real_policy_fits_in_the_step() -> None:
    policy = MultiView(view=View(size=SIDE))
    state = jax.eval_shape(lambda: init_train_state(SIMCLR, policy, OPTIMIZER, batch(0), seed=0))
    step = make_train_step(SIMCLR, policy, OPTIMIZER)
    after, metrics = jax.eval_shape(step, state, batch(0))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert metrics['loss'].shape == ()


@dataclasses.dataclass(frozen=True)
class Walk(Algorithm):
    """One parameter w drawn towards a random target; every function leaves a trace."""

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        return {'w': jnp.array(2.0)}, {'count': jnp.array(0.0)}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        CALLS.append(f'draw, given {sorted(batch)}')
        return {**batch, 'target': state['count'] + jax.random.uniform(rng)}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        CALLS.append(f'loss, given {sorted(batch)}')
        loss = 0.5 * (params['w'] - batch['target']) ** 2
        metrics = {'target': batch['target'], 'number': batch['step']}
        return loss, ({'count': state['count'] + 1}, metrics)

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        CALLS.append('after_step')
        return {'w': 2 * params['w']}, {'count': 10 * state['count'] + step}


def test_draw_loss_optimizer_and_after_step_follow_one_another() -> None:
    optimizer = optax.sgd(0.25)
    state = init_train_state(Walk(), tinted, optimizer, batch(0), seed=0)
    step = make_train_step(Walk(), tinted, optimizer)
    CALLS.clear()
    w = 2.0
    for count, after in [(0, 10), (10, 111)]:
        state, metrics = step(state, batch(0))
        target = float(metrics['target'])
        assert int(metrics['number']) == int(state.step) - 1
        assert count <= target < count + 1  # drawn from the state before the step
        assert float(metrics['loss']) == pytest.approx(0.5 * (w - target) ** 2)
        assert float(metrics['grad_norm']) == pytest.approx(abs(w - target))
        w = 2 * (w - 0.25 * (w - target))
        assert float(state.params['w']) == pytest.approx(w)
        assert float(state.state['count']) == after
    assert CALLS == [
        "draw, given ['index', 'label', 'step', 'views']",
        "loss, given ['index', 'label', 'step', 'target', 'views']",
        'after_step',
    ]


@dataclasses.dataclass(frozen=True)
class Alignment(jssl.Algorithm):
    """A user's own method: near to the other view, spread over the sphere (Wang, Isola 2020)."""

    encoder: nn.Module
    weight: float = 1.0

    def embed(self, params: Params, images: jax.Array) -> jax.Array:
        z = self.encoder.apply({'params': params}, images.reshape(len(images), -1))
        return z / jnp.linalg.norm(z, axis=1, keepdims=True)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        images = batch['views'][0]
        return self.encoder.init(rng, images.reshape(len(images), -1))['params'], {}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        first, second = (self.embed(params, view) for view in batch['views'])
        alignment = jnp.mean(jnp.sum((first - second) ** 2, axis=1))
        uniformity = jnp.log(jnp.mean(jnp.exp(4 * first @ first.T - 4)))
        return alignment + self.weight * uniformity, (state, {'alignment': alignment})


def test_a_user_s_own_loss_in_less_than_thirty_lines_runs_in_the_same_step() -> None:
    assert len(inspect.getsource(Alignment).splitlines()) < 30
    algorithm = Alignment(encoder=nn.Dense(8))
    state = jssl.init_train_state(algorithm, tinted, OPTIMIZER, batch(0), seed=0)
    step = jssl.make_train_step(algorithm, tinted, OPTIMIZER)
    history = []
    for number in range(30):
        state, metrics = step(state, batch(number))
        history.append({name: float(value) for name, value in metrics.items()})
    assert set(history[0]) == {'loss', 'grad_norm', 'alignment'}
    assert history[-1]['loss'] < history[0]['loss'] - 0.2


SLIPS = {
    'the pair': (lambda loss, state: loss, 'return loss, (state, {})'),
    'the state': (lambda loss, state: (loss, {}), 'return loss, (state, {})'),
    'a mean': (lambda loss, state: (loss * jnp.ones(3), (state, {})), 'shape (3,); take for'),
    'an entry': (
        lambda loss, state: (loss, ({}, {})),
        "['count'] was of shape () and is absent",
    ),
    'its place': (
        lambda loss, state: (loss, (state | {'new': loss}, {})),
        "state['new'] was absent and is of shape ()",
    ),
    'its shape': (
        lambda loss, state: (loss, ({'count': jnp.zeros(2)}, {})),
        "state['count'] was of shape () and is of shape (2,)",
    ),
    'names': (lambda loss, state: (loss, (state, [loss])), 'metrics are a list'),
    'a name': (lambda loss, state: (loss, (state, {'step': loss})), 'called step are logged'),
    'a number': (lambda loss, state: (loss, (state, {'z': jnp.ones((4, 2))})), "{'z': (4, 2)}"),
}


@pytest.mark.parametrize('forgotten', SLIPS)
def test_a_loss_that_returns_something_else_is_told_what_to_return(forgotten: str) -> None:
    make, words = SLIPS[forgotten]

    @dataclasses.dataclass(frozen=True)
    class Slip(Algorithm):
        def loss(self, params: Params, state: State, batch: Batch) -> Any:
            return make(jnp.sum(params['w']), state)

    with refused('Slip.loss must return (loss, (state, metrics))', words):
        jax.eval_shape(checked(Slip()), {'w': jnp.ones(3)}, {'count': jnp.zeros(())}, {})


@pytest.mark.parametrize('platform', ['cpu', 'gpu'])
def test_what_runs_once_gives_the_same_numbers(platform: str) -> None:
    """Compiled less well on a CPU, and as ever elsewhere; options are those of `jax.jit`."""
    program = jit_once(jnp.sinh, platform, donate_argnums=0)
    given = jax.device_put(np.float32(1.0))
    np.testing.assert_allclose(program(given), np.sinh(1.0), rtol=1e-6)
    assert given.is_deleted()
