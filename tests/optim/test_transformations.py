from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.optim.parameter_groups import parameter_groups
from jssl.optim.transformations import (
    accumulate_momentum,
    adapt_layers,
    clip_gradients,
    decay_weights,
    scale_by_rate,
)
from tests import golden
from tests.checks import refused

SHAPES = {'conv': (2, 3), 'bn': (3,)}


def groups(**keys: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda params: parameter_groups(params, keys)


def tree(value: float) -> dict[str, jax.Array]:
    return {name: jnp.full(shape, float(value)) for name, shape in SHAPES.items()}


def outcomes(transformation: optax.GradientTransformation, *gradients: float) -> list[Any]:
    """What becomes of gradients and parameters of one value each, these being 1."""
    state, found = transformation.init(tree(1.0)), []
    for gradient in gradients:
        updates, state = transformation.update(tree(gradient), state, tree(1.0))
        found.append({name: float(update.ravel()[0]) for name, update in updates.items()})
    return found


@pytest.mark.parametrize('scale', [0.01, 10.0])
def test_clipping_against_torch(scale: float) -> None:
    torch = pytest.importorskip('torch')
    draw = np.random.default_rng(3)
    gradient = {name: scale * draw.standard_normal(shape) for name, shape in SHAPES.items()}
    tensors = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in SHAPES.items()}
    for name, tensor in tensors.items():
        tensor.grad = torch.tensor(gradient[name], dtype=torch.float32)
    torch.nn.utils.clip_grad_norm_(tensors.values(), 1.0)
    small = jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient)
    found, _ = clip_gradients(1.0).update(small, optax.EmptyState())
    for name, tensor in tensors.items():
        np.testing.assert_allclose(found[name], tensor.grad.numpy(), rtol=1e-6)


@golden.each('part_dino_clip')
@pytest.mark.parametrize('float64', [True, False])
def test_clipping_of_each_tensor_against_the_reference(path: Path, float64: bool) -> None:
    with jax.enable_x64(float64), golden.whole(path) as saved:
        gradients = {name: jnp.asarray(value, float) for name, value in saved.group('in').items()}
        expected = saved.group('out')
        norms = [optax.tree.norm(gradient) for gradient in gradients.values()]
        np.testing.assert_allclose(norms, expected.pop('norms'), rtol=1e-6)
        clip = clip_gradients(saved.meta['clip'], 'tensor')
        found, _ = clip.update(gradients, optax.EmptyState())
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6)


def test_every_part_is_clipped_by_its_own_norm() -> None:
    gradients = {'backbone': tree(3.0), 'head': tree(0.01)}
    found, _ = clip_gradients(1.0, 'part').update(gradients, optax.EmptyState())
    assert float(optax.tree.norm(found['backbone'])) == pytest.approx(1, abs=1e-5)
    assert optax.tree.norm(found['head']) == optax.tree.norm(gradients['head'])


def test_decay_follows_the_step_and_the_group() -> None:
    found = outcomes(decay_weights(lambda step: 0.1 * step, groups(bn={'decay_mult': 0.5})), 0, 0)
    np.testing.assert_allclose([update['conv'] for update in found], [0, 0.1], rtol=1e-6)
    np.testing.assert_allclose([update['bn'] for update in found], [0, 0.05], rtol=1e-6)


def test_adaptation_takes_the_decay_of_the_step() -> None:
    (_, found) = outcomes(adapt_layers(lambda step: 0.1 * step, 0.5, 0.0, groups()), 2, 2)
    # |w| = sqrt(n) and |g| = 2 sqrt(n): local is 0.5 / (2 + 0.1)
    assert found['conv'] == pytest.approx(0.5 / 2.1 * 2.1)


def test_rates_are_fixed_or_follow_the_schedule() -> None:
    def rate(base: float) -> Any:
        return lambda step: base / (1 + step)

    keys = groups(bn={'fix_lr': True, 'lr_mult': 2.0})
    found = outcomes(scale_by_rate(rate, 0.4, keys), 1, 1)
    np.testing.assert_allclose([update['conv'] for update in found], [0.4, 0.2], rtol=1e-6)
    np.testing.assert_allclose([update['bn'] for update in found], [0.8, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ({}, [1, 1.5, 1.75]),
        ({'dampening': 0.5}, [1, 1, 1]),
        ({'nesterov': True}, [1.5, 1.75, 1.875]),
    ],
)
def test_momenta(settings: dict[str, Any], expected: list[float]) -> None:
    keys = groups(bn={'momentum': 0.0})
    found = outcomes(accumulate_momentum(0.5, keys, **settings), 1, 1, 1)
    np.testing.assert_allclose([update['conv'] for update in found], expected, rtol=1e-6)
    assert [update['bn'] for update in found] == [1, 1, 1]


def test_a_key_that_matches_nothing_fails_at_the_start() -> None:
    with refused("'bnn'"):
        decay_weights(lambda step: 0.1, groups(bnn={'decay_mult': 0.0})).init(tree(1.0))
