"""The contract, held by every algorithm of the package and by one of a user's own.

One program for each: draw, loss, gradients and what follows the step, on its tiny network.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl import algorithms
from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.algorithms import BYOL, ImageClassifier
from jssl.checks import Fraction
from jssl.heads import LinearClsHead
from jssl.interop.mmselfsup import export_state, import_state
from jssl.memories.teacher import cosine_momentum, init_teacher, update_teacher
from jssl.networks import Encoder, forward
from jssl.training.step import checked
from tests.algorithms import runs, tiny_models
from tests.checks import assert_trees_close, refused, well_scaled

CLASSES = 5
GIVEN = frozenset(('views', 'index', 'step', 'label'))
DECIDED = frozenset(('target', 'views'))  # what `draw` may add without a key
FOUND = sorted(
    name
    for name, value in vars(algorithms).items()
    if isinstance(value, type) and issubclass(value, Algorithm)
)


@dataclasses.dataclass(frozen=True)
class Gentle(BYOL):
    """A user's own method: BYOL with less of its loss."""

    weight: Fraction = 0.5

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        loss, (state, metrics) = super().loss(params, state, batch)
        return self.weight * loss, (state, {**metrics, 'whole': loss})


@dataclasses.dataclass(frozen=True)
class Distilled(Algorithm):
    """A user's own method whose teacher has all of it and follows the optimizer, as DINO's."""

    backbone: nn.Module
    head: nn.Module

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        network = Encoder(self.backbone, self.head)
        variables = network.init(rng, batch['views'][0], train=False)
        params, stats = variables['params'], variables['batch_stats']
        teacher = init_teacher(params, stats, parts=('backbone', 'neck'))
        return params, {'batch_stats': stats, 'teacher': teacher}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        network, teacher, views = (
            Encoder(self.backbone, self.head),
            state['teacher'],
            batch['views'],
        )
        logits, stats = forward(network, params, state['batch_stats'], views[0])
        slow = teacher['params'], teacher['batch_stats']
        targets, slow_stats = forward(network, *slow, views[1])
        loss = optax.softmax_cross_entropy(logits, jax.nn.softmax(targets / 0.04)).mean()
        teacher = {**teacher, 'batch_stats': slow_stats}
        return loss, ({'batch_stats': stats, 'teacher': teacher}, {})

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        momentum = cosine_momentum(step, self.known_run.steps, base=0.996)
        teacher = update_teacher(
            state['teacher'],
            params,
            state['batch_stats'],
            momentum,
            buffers='own',
            copy_first=False,
        )
        return params, {**state, 'teacher': teacher}


def gentle() -> Gentle:
    plain = tiny_models.tiny_byol()
    return Gentle(plain.backbone, plain.neck, plain.head, weight=0.25)


BUILDERS: dict[str, Any] = {
    **runs.ALGORITHMS,
    'ImageClassifier': lambda: ImageClassifier(tiny_models.STEM, LinearClsHead(), mixup=0.5),
    'a subclass': gentle,
    'a teacher after the optimizer': lambda: Distilled(tiny_models.STEM, tiny_models.neck()),
}
OWN = ['a subclass', 'a teacher after the optimizer']
NAMES = [*FOUND, *OWN]


class Taken(NamedTuple):
    """What one step gives."""

    drawn: Batch
    loss: jax.Array
    state: State
    metrics: Metrics
    grads: Params
    after: tuple[Params, State]


@functools.cache
def algorithm(name: str) -> Algorithm:
    run = dataclasses.replace(runs.RUN, classes=CLASSES)
    return dataclasses.replace(BUILDERS[name](), run=run)


@functools.cache
def batch(name: str) -> Batch:
    found = runs.seen(copies=1 if name == 'ImageClassifier' else runs.VIEWS.get(name, 2))
    return {**found, 'label': found['index'] % CLASSES}


@functools.cache
def shapes(name: str) -> tuple[Any, Any]:
    return jax.eval_shape(algorithm(name).init, jax.random.key(0), batch(name))


@functools.cache
def start(name: str) -> tuple[Any, Any]:
    """Parameters and state drawn by NumPy; counters and labels are 0."""
    flat, structure = jax.tree.flatten(shapes(name))
    floats = jax.tree.leaves(well_scaled(shapes(name)))
    whole = [
        value if jnp.issubdtype(shape.dtype, jnp.floating) else np.zeros(shape.shape, shape.dtype)
        for shape, value in zip(flat, floats, strict=True)
    ]
    return jax.tree.unflatten(structure, whole)


def advance(name: str, params: Params, state: State, key: jax.Array, batch: Batch) -> Taken:
    model = algorithm(name)
    drawn = model.draw(key, state, batch)
    differentiate = jax.value_and_grad(checked(model), has_aux=True)
    (loss, (left, metrics)), grads = differentiate(params, state, drawn)
    after = model.after_step(params, left, batch['step'])
    return Taken(drawn, loss, left, metrics, grads, after)


@functools.cache
def program(name: str) -> Any:
    return jax.jit(functools.partial(advance, name))


@functools.cache
def taken(name: str, seed: int = 0) -> Taken:
    return program(name)(*start(name), jax.random.key(seed), batch(name))


def plain(tree: Any) -> Any:
    """Keys as the numbers that they are."""
    return jax.tree.map(
        lambda leaf: (
            jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        ),
        tree,
    )


def same(one: Any, other: Any) -> bool:
    """Whether two trees agree to the last bit."""
    return jax.tree.all(jax.tree.map(np.array_equal, plain(one), plain(other)))


def described(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_the_package_is_searched_and_every_algorithm_of_it_is_tested() -> None:
    assert {'SimCLR', 'ImageClassifier', 'CAE'} < set(FOUND)
    assert set(FOUND) == BUILDERS.keys() - {*OWN}


@pytest.mark.parametrize('name', NAMES)
def test_a_step_gives_a_finite_loss_gradients_and_scalars(name: str) -> None:
    found = taken(name)
    assert found.loss.shape == ()
    assert all(value.shape == () for value in found.metrics.values())
    for leaf in jax.tree.leaves((found.loss, found.grads, found.metrics, found.after)):
        assert np.isfinite(leaf).all()
    assert described(found.grads) == described(start(name)[0])
    assert any(np.any(leaf) for leaf in jax.tree.leaves(found.grads))


@pytest.mark.parametrize('name', NAMES)
def test_the_state_keeps_its_form(name: str) -> None:
    params, state = start(name)
    assert described(taken(name).state) == described(state)
    assert described(taken(name).after) == described((params, state))


@pytest.mark.parametrize('name', NAMES)
def test_the_same_inputs_give_the_same_and_are_left_alone(name: str) -> None:
    given = (*start(name), batch(name))
    names = [set(tree) for tree in given]
    again = program(name)(*given[:2], jax.random.key(0), given[2])
    assert same(again, taken(name))
    assert [set(tree) for tree in given] == names


@pytest.mark.parametrize('name', NAMES)
def test_another_key_draws_other_values_of_the_same_shapes(name: str) -> None:
    one, other = (taken(name, seed).drawn for seed in (0, 1))
    assert described(one) == described(other)
    added = one.keys() - GIVEN
    changed = {entry for entry in one if not same(one[entry], other[entry])}
    assert added - DECIDED <= changed <= added | DECIDED
    for entry in GIVEN - {'views'}:
        assert same(one[entry], batch(name)[entry])


@pytest.mark.parametrize('name', NAMES)
def test_features_have_a_row_for_each_image(name: str) -> None:
    images = jax.ShapeDtypeStruct(batch(name)['views'][0].shape, 'float32')
    features = jax.eval_shape(algorithm(name).extract_feat, *shapes(name), images)
    assert features.shape == (tiny_models.BATCH, tiny_models.WIDTH)
    assert features.dtype == 'float32'


@pytest.mark.parametrize('name', NAMES)
def test_features_are_of_what_it_keeps(name: str) -> None:
    model, (params, state) = algorithm(name), shapes(name)
    teacher = state.get('teacher')
    if model.keeps == 'teacher':
        unseen = params['backbone'].keys() - teacher['params']['backbone'].keys()
        assert unseen <= {'mask_token'}  # a teacher may see no mask
        params, state = {}, {'teacher': teacher}
    else:
        state = {part: tree for part, tree in state.items() if part != 'teacher'}
    images = jax.ShapeDtypeStruct(batch(name)['views'][0].shape, 'float32')
    features = jax.eval_shape(model.extract_feat, params, state, images)
    assert features.shape == (tiny_models.BATCH, tiny_models.WIDTH)


@pytest.mark.parametrize('name', NAMES)
def test_it_predicts_what_it_says(name: str) -> None:
    model, drawn = algorithm(name), taken(name).drawn
    if model.predicts is None:
        with refused(f'{type(model).__name__} predicts nothing', 'extract_feat'):
            model.predict(*start(name), drawn)
        return
    found = jax.eval_shape(model.predict, *shapes(name), drawn)
    rows = len(drawn['views'][0])
    if model.predicts == 'pixels':
        images, hidden = found
        assert images.shape == drawn['views'][0].shape
        assert (hidden.shape, hidden.dtype) == (images.shape[:3], bool)
        return
    assert found.shape[0] == rows
    if model.predicts in ('classes', 'targets'):
        entry = drawn['label' if model.predicts == 'classes' else 'target']
        assert found.ndim == 2
        assert len(entry) == rows
        assert found.shape[1] > int(entry.max())
    assert jnp.issubdtype(found.dtype, jnp.integer) == (model.predicts == 'tokens')


@pytest.mark.parametrize('name', NAMES)
def test_float64_runs_through(name: str) -> None:
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, _wide(leaf)), start(name))
        given = {**batch(name), 'views': [_as_wide(view) for view in batch(name)['views']]}
        key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
        found = jax.eval_shape(functools.partial(advance, name), *wide, key, given)
    assert found.loss.dtype == 'float64'
    assert described(found.grads) == described(wide[0])
    assert described(found.after) == described(tuple(wide))


def _wide(leaf: jax.Array) -> Any:
    return 'float64' if leaf.dtype == 'float32' else leaf.dtype


def _as_wide(view: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(view.shape, 'float64')


@pytest.mark.parametrize('name', [*FOUND, 'a subclass'])
def test_what_is_exported_is_imported_as_the_same(name: str) -> None:
    model, (params, state) = algorithm(name), start(name)
    weights = export_state(params, state, algorithm=model)
    zeros = jax.tree.map(np.zeros_like, (params, state))
    again = import_state(weights, *zeros, algorithm=model)
    assert_trees_close(again[0], params, rtol=0)
    for part in state.keys() & {'batch_stats', 'teacher', 'queue', 'queue2'}:
        assert_trees_close(again[1][part], state[part], rtol=0)
    assert described(again[1]) == described(state)
