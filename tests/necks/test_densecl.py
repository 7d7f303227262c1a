from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jssl.interop import mmselfsup
from jssl.necks import DenseCLNeck
from tests.checks import assert_drawn_like, refused

MAP = np.random.default_rng(0).standard_normal((4, 3, 2, 6)).astype('float32')
NECK = DenseCLNeck(6, 7, 5)
FUNCTIONS = torch.nn.functional


def weights() -> tuple[Any, dict[str, torch.Tensor]]:
    params: Any = NECK.init(jax.random.key(0), (jnp.asarray(MAP),))['params']
    exported = mmselfsup.export_state(params)
    return params, {key: torch.tensor(value) for key, value in exported.items()}


@pytest.mark.parametrize('num_grid', [None, 2])
def test_its_three_outputs_are_those_of_pytorch(num_grid: int | None) -> None:
    params, other = weights()
    x = torch.tensor(MAP).permute(0, 3, 1, 2)
    hidden = FUNCTIONS.linear(x.mean((2, 3)), other['mlp.0.weight'], other['mlp.0.bias']).relu()
    image = FUNCTIONS.linear(hidden, other['mlp.2.weight'], other['mlp.2.bias'])
    cells = x if num_grid is None else FUNCTIONS.adaptive_avg_pool2d(x, num_grid)
    cells = FUNCTIONS.conv2d(cells, other['mlp2.0.weight'], other['mlp2.0.bias']).relu()
    cells = FUNCTIONS.conv2d(cells, other['mlp2.2.weight'], other['mlp2.2.bias'])
    found = NECK.clone(num_grid=num_grid).apply({'params': params}, (jnp.asarray(MAP),))
    np.testing.assert_allclose(found[0], image, atol=1e-6)
    np.testing.assert_allclose(found[1], cells.flatten(2).permute(0, 2, 1), atol=1e-6)
    np.testing.assert_allclose(found[2], cells.mean((2, 3)), atol=1e-6)


def test_a_backbone_without_a_map_is_refused() -> None:
    for features in (jnp.zeros((4, 6)), (jnp.asarray(MAP), jnp.zeros((4, 6)))):
        with refused('DenseCLNeck', 'ResNet'):
            NECK.init(jax.random.key(0), (features,))


@pytest.mark.parametrize(
    ('wrong', 'parts'),
    [
        ({'in_channels': 8}, ('neck.in_channels=8', 'neck.in_channels=6')),
        ({'num_grid': 0}, ('neck.num_grid=0', 'at least 1')),
    ],
)
def test_wrong_fields_are_refused(wrong: dict[str, int], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        NECK.clone(**wrong).init(jax.random.key(0), (jnp.asarray(MAP),))


def test_bfloat16_is_pooled_in_float32() -> None:
    neck = NECK.clone(dtype=jnp.bfloat16)
    found = neck.apply({'params': weights()[0]}, (jnp.asarray(MAP),))
    assert [output.dtype for output in found] == ['bfloat16', 'bfloat16', 'float32']


def test_fresh_weights_are_drawn_as_the_reference_s(golden: Path) -> None:
    neck, features = DenseCLNeck(512, 256, 128), jnp.zeros((1, 1, 1, 512))
    params = jax.jit(neck.init)(jax.random.key(1), (features,))['params']
    assert_drawn_like({'neck': params}, golden, 'densecl')
