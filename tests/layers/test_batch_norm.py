from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.batch_norm import BatchNorm
from tests.checks import applied, assert_trees_close, refused

CHANNELS = 5


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 2.0, shape)


def variables(seed: int = 1) -> dict[str, Any]:
    """Parameters and running statistics that are neither 0 nor 1."""
    draw = np.random.default_rng(seed)
    params = {'scale': draw.normal(1, 0.3, CHANNELS), 'bias': draw.normal(0, 0.3, CHANNELS)}
    stats = {'mean': draw.normal(0, 0.3, CHANNELS), 'var': draw.uniform(0.5, 1.5, CHANNELS)}
    return jax.tree.map(jnp.asarray, {'params': params, 'batch_stats': stats})


def step(
    norm: BatchNorm, state: Mapping[str, Any], x: jax.Array
) -> tuple[jax.Array, dict[str, Any]]:
    y, updates = norm.apply(state, x, mutable=['batch_stats'])
    return y, updates['batch_stats']


def channels_first(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -1, 1)


@pytest.mark.parametrize('shape', [(16, CHANNELS), (4, 3, 2, CHANNELS)])
def test_two_training_steps_and_evaluation_equal_pytorch(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip('torch')
    start, batches = variables(), [normal(*shape, seed=seed) for seed in range(3)]
    theirs = (torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d)(CHANNELS).double()
    theirs.load_state_dict(
        {
            'weight': torch.tensor(np.asarray(start['params']['scale'])),
            'bias': torch.tensor(np.asarray(start['params']['bias'])),
            'running_mean': torch.tensor(np.asarray(start['batch_stats']['mean'])),
            'running_var': torch.tensor(np.asarray(start['batch_stats']['var'])),
            'num_batches_tracked': torch.tensor(0),
        }
    )

    def expected(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(theirs(torch.tensor(channels_first(x))).detach().numpy(), 1, -1)

    with jax.enable_x64(True):
        norm, state = BatchNorm(), jax.tree.map(lambda leaf: leaf.astype('float64'), start)
        for x in batches[:2]:
            y, stats = step(norm, state, jnp.asarray(x))
            state = {**state, 'batch_stats': stats}
            assert y.dtype == 'float64'
            np.testing.assert_allclose(y, expected(x), atol=1e-10)
        np.testing.assert_allclose(stats['mean'], theirs.running_mean.numpy(), rtol=1e-10)
        np.testing.assert_allclose(stats['var'], theirs.running_var.numpy(), rtol=1e-10)
        theirs.eval()
        y = applied(norm, state, jnp.asarray(batches[2]), train=False)
        np.testing.assert_allclose(y, expected(batches[2]), atol=1e-10)


@pytest.mark.parametrize('train', [True, False])
def test_gradients_equal_pytorch(train: bool) -> None:
    torch = pytest.importorskip('torch')
    x, weight = normal(4, 3, 2, CHANNELS), normal(4, 3, 2, CHANNELS, seed=1)
    theirs = torch.nn.BatchNorm2d(CHANNELS).double().train(train)
    inputs = torch.tensor(channels_first(x), requires_grad=True)
    (theirs(inputs) * torch.tensor(channels_first(weight))).sum().backward()
    with jax.enable_x64(True):
        norm = BatchNorm()
        fresh = norm.init(jax.random.key(0), jnp.asarray(x))

        def total(params: Any, x: jax.Array) -> jax.Array:
            y, _ = norm.apply({**fresh, 'params': params}, x, train, mutable=['batch_stats'])
            return jnp.sum(y * weight)

        grads, by_input = jax.grad(total, (0, 1))(fresh['params'], jnp.asarray(x))
    np.testing.assert_allclose(grads['scale'], theirs.weight.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(grads['bias'], theirs.bias.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(channels_first(by_input), inputs.grad.numpy(), atol=1e-10)


def test_groups_are_separate_norms_whose_running_statistics_are_averaged() -> None:
    state, whole, grouped = variables(), BatchNorm(), BatchNorm(group_size=4)
    x = jnp.asarray(normal(8, 3, 3, CHANNELS), 'float32')

    def together(params: Any, x: jax.Array) -> Any:
        return step(grouped, {**state, 'params': params}, x)

    def separately(params: Any, x: jax.Array) -> Any:
        halves = x.reshape(2, 4, *x.shape[1:])
        y, stats = jax.vmap(lambda half: step(whole, {**state, 'params': params}, half))(halves)
        return y.reshape(x.shape), jax.tree.map(lambda leaf: leaf.mean(0), stats)

    @jax.jit
    def forward_and_backward(x: jax.Array) -> Any:
        ours, backward = jax.vjp(together, state['params'], x)
        expected, expected_backward = jax.vjp(separately, state['params'], x)
        cotangent = jax.tree.map(lambda y: jnp.cos(jnp.arange(y.size)).reshape(y.shape), ours)
        return (ours, backward(cotangent)), (expected, expected_backward(cotangent))

    ours, expected = forward_and_backward(x)
    assert_trees_close(ours, expected, atol=1e-5)
    assert not np.allclose(ours[0][0], step(whole, state, x)[0], atol=1e-2)


def test_a_large_mean_costs_no_accuracy_once_the_running_mean_has_settled() -> None:
    x = np.random.default_rng(0).normal(1000, 1, (64, 4, 4, CHANNELS)).astype('float32')
    norm = BatchNorm()
    fresh = norm.init(jax.random.key(0), x)

    def settle(stats: Any, _: None) -> tuple[Any, None]:
        return step(norm, {**fresh, 'batch_stats': stats}, jnp.asarray(x))[1], None

    stats, _ = jax.lax.scan(settle, fresh['batch_stats'], length=150)
    y, _ = step(norm, {**fresh, 'batch_stats': stats}, jnp.asarray(x))
    wide = x.astype('float64').reshape(-1, CHANNELS)
    exact = (x - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    np.testing.assert_allclose(y, exact, atol=1e-4)
    np.testing.assert_allclose(stats['mean'], wide.mean(0), rtol=1e-6)
    # What the settling steps recorded fades by 0.9 a step; the first were off by a few percent.
    np.testing.assert_allclose(stats['var'], wide.var(0, ddof=1), rtol=1e-3)


def test_bfloat16_keeps_its_statistics_in_float32() -> None:
    x = jnp.asarray(normal(32, 4, 4, CHANNELS), 'bfloat16')
    norm = BatchNorm()
    state = norm.init(jax.random.key(0), x)
    y, stats = step(norm, state, x)
    assert y.dtype == 'bfloat16'
    assert {leaf.dtype for leaf in jax.tree.leaves([stats, state])} == {jnp.dtype('float32')}
    _, expected = step(norm, state, x.astype('float32'))
    assert_trees_close(stats, expected, rtol=1e-6)
    assert step(BatchNorm(dtype=jnp.float32), state, x)[0].dtype == 'float32'


def test_initialisation_records_nothing_and_evaluation_neither() -> None:
    x = jnp.asarray(normal(8, CHANNELS), 'float32')
    fresh = BatchNorm().init(jax.random.key(0), x)
    assert_trees_close(fresh['batch_stats'], {'mean': np.zeros(5), 'var': np.ones(5)})
    assert_trees_close(fresh['params'], {'scale': np.ones(5), 'bias': np.zeros(5)})
    state = variables()
    _, updates = BatchNorm().apply(state, x, train=False, mutable=['batch_stats'])
    assert_trees_close(updates['batch_stats'], state['batch_stats'])


def test_momentum_epsilon_affine_and_scale_init_do_what_they_say() -> None:
    x = jnp.asarray(normal(8, CHANNELS), 'float32')
    plain = BatchNorm(affine=False, momentum=0.5, epsilon=3.0)
    state = plain.init(jax.random.key(0), x)
    assert 'params' not in state
    y, stats = step(plain, state, x)
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stats['mean'], 0.5 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats['var'], 0.5 + 0.5 * x.var(0, ddof=1), rtol=1e-5)
    zero = BatchNorm(scale_init=jax.nn.initializers.zeros).init(jax.random.key(0), x)
    assert not zero['params']['scale'].any()


@pytest.mark.parametrize('shape', [(1, CHANNELS), (1, 1, 1, CHANNELS)])
def test_one_value_per_channel_is_refused(shape: tuple[int, ...]) -> None:
    with refused('single value per channel', str(shape)):
        BatchNorm().init(jax.random.key(0), jnp.zeros(shape))
    with refused('groups of 1'):
        BatchNorm(group_size=1).init(jax.random.key(0), jnp.zeros((4, *shape[1:])))


def test_a_group_that_does_not_divide_the_batch_is_refused() -> None:
    x = jnp.zeros((8, CHANNELS))
    with refused('bn_group_size=3', '8 images', 'such as bn_group_size=8'):
        BatchNorm(group_size=3).init(jax.random.key(0), x)
    for name, words in (
        ('backbone', '--config.model.backbone.bn_group_size=4'),
        ('a', 'such as bn_'),
    ):
        with refused(words):
            Whole(name).init(jax.random.key(0), x)


class Whole(nn.Module):
    part: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return BatchNorm(group_size=12, name=self.part)(x)


def test_one_image_is_enough_where_it_has_several_places() -> None:
    x = jnp.asarray(normal(2, 3, 3, CHANNELS), 'float32')
    y, _ = step(BatchNorm(group_size=1), variables(), x)
    alone, _ = step(BatchNorm(), variables(), x[1:])
    np.testing.assert_allclose(y[1:], alone, atol=1e-5)
