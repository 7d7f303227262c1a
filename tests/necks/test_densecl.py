from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.interop import mmselfsup
from jssl.necks import DenseCLNeck
from tests.checks import adaptive_mean, applied, assert_drawn_like, refused

MAP = np.random.default_rng(0).standard_normal((4, 3, 2, 6)).astype('float32')
NECK = DenseCLNeck(6, 7, 5)


def weights() -> tuple[Any, dict[str, np.ndarray]]:
    params: Any = NECK.init(jax.random.key(0), (jnp.asarray(MAP),))['params']
    return params, mmselfsup.export_state(params)


def layers(x: np.ndarray, weights: dict[str, np.ndarray], mlp: str) -> np.ndarray:
    """Two layers on every place, in float64: a 1x1 convolution is a matrix."""
    first, second = (weights[f'{mlp}.{index}.weight'].squeeze() for index in (0, 2))
    hidden = np.maximum(x.astype('float64') @ first.T + weights[f'{mlp}.0.bias'], 0)
    return hidden @ second.T + weights[f'{mlp}.2.bias']


@pytest.mark.parametrize('num_grid', [None, 2])
def test_its_three_outputs_are_those_of_the_reference_s_layers(num_grid: int | None) -> None:
    params, other = weights()
    image = layers(MAP.mean((1, 2)), other, 'mlp')
    cells = layers(MAP if num_grid is None else adaptive_mean(MAP, num_grid), other, 'mlp2')
    found = applied(NECK.clone(num_grid=num_grid), {'params': params}, (jnp.asarray(MAP),))
    np.testing.assert_allclose(found[0], image, atol=1e-6)
    np.testing.assert_allclose(found[1], cells.reshape(4, -1, 5), atol=1e-6)
    np.testing.assert_allclose(found[2], cells.mean((1, 2)), atol=1e-6)


def test_a_backbone_without_a_map_is_refused() -> None:
    for features in (jnp.zeros((4, 6)), (jnp.asarray(MAP), jnp.zeros((4, 6)))):
        with refused('DenseCLNeck', 'ResNet'):
            NECK.init(jax.random.key(0), (features,))


@pytest.mark.parametrize(
    ('wrong', 'parts'),
    [
        ({'in_channels': 8}, ('neck.in_channels=8', 'neck.in_channels=6')),
        ({'num_grid': 0}, ('DenseCLNeck.num_grid=0', 'at least 1')),
    ],
)
def test_wrong_fields_are_refused(wrong: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        NECK.clone(**wrong).init(jax.random.key(0), (jnp.asarray(MAP),))


def test_bfloat16_is_pooled_in_float32() -> None:
    neck = NECK.clone(dtype=jnp.bfloat16)
    found = applied(neck, {'params': weights()[0]}, (jnp.asarray(MAP),))
    assert [output.dtype for output in found] == ['bfloat16', 'bfloat16', 'float32']


def test_fresh_weights_are_drawn_as_the_reference_s() -> None:
    neck, features = DenseCLNeck(512, 256, 128), jnp.zeros((1, 1, 1, 512))
    params = jax.jit(neck.init)(jax.random.key(1), (features,))['params']
    assert_drawn_like({'neck': params}, 'densecl')
