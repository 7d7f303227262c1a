from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.interop import mmselfsup
from jssl.necks import LinearNeck, MoCoV2Neck
from tests.checks import applied, assert_drawn_like, refused

MAP = np.random.default_rng(0).standard_normal((4, 3, 2, 6)).astype('float32')
LAYERS = {
    'LinearNeck': (LinearNeck(6, 5), ('fc',)),
    'MoCoV2Neck': (MoCoV2Neck(6, 7, 5), ('mlp.0', 'mlp.2')),
}


@pytest.mark.parametrize('name', LAYERS)
def test_it_is_its_layers_on_the_pooled_map(name: str) -> None:
    neck, layers = LAYERS[name]
    params: Any = neck.init(jax.random.key(0), (jnp.asarray(MAP),))['params']
    weights = mmselfsup.export_state(params)
    x = MAP.mean((1, 2), dtype='float64')
    for index, layer in enumerate(layers):
        x = np.maximum(x, 0) if index else x
        x = x @ weights.pop(f'{layer}.weight').T + weights.pop(f'{layer}.bias')
    assert not weights
    for features in (MAP, MAP.mean((1, 2))):
        found = applied(neck, {'params': params}, (jnp.asarray(features),))
        np.testing.assert_allclose(found, x, atol=1e-6)


@pytest.mark.parametrize('name', LAYERS)
def test_a_wrong_width_is_refused(name: str) -> None:
    neck = LAYERS[name][0].clone(in_channels=8)
    with refused('neck.in_channels=8', '6 channels arrive', 'set config.model.neck.in_channels=6'):
        neck.init(jax.random.key(0), (jnp.asarray(MAP),))


@pytest.mark.parametrize('name', LAYERS)
def test_without_pooling_it_takes_vectors_only(name: str) -> None:
    neck = LAYERS[name][0].clone(with_avg_pool=False)
    variables = neck.init(jax.random.key(0), (jnp.asarray(MAP.mean((1, 2))),))
    assert applied(neck, variables, (jnp.asarray(MAP.mean((1, 2))),)).shape == (4, 5)
    with refused('with_avg_pool=False', 'gives a map', 'True'):
        applied(neck, variables, (jnp.asarray(MAP),))


@pytest.mark.parametrize('name', LAYERS)
def test_bfloat16_is_a_matter_of_the_computation(name: str) -> None:
    neck: nn.Module = LAYERS[name][0].clone(dtype=jnp.bfloat16)
    variables = neck.init(jax.random.key(0), (jnp.asarray(MAP),))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert applied(neck, variables, (jnp.asarray(MAP),)).dtype == 'bfloat16'


@pytest.mark.parametrize(
    ('model', 'neck'), [('npid', LinearNeck(512, 128)), ('moco', MoCoV2Neck(512, 256, 128))]
)
def test_fresh_weights_are_drawn_as_the_reference_s(model: str, neck: nn.Module) -> None:
    params = jax.jit(neck.init)(jax.random.key(1), (jnp.zeros((1, 512)),))['params']
    assert_drawn_like({'neck': params}, model)


def test_normal_initial_weights_may_be_told() -> None:
    neck = LinearNeck(256, 128, with_avg_pool=False, init_std=0.5)
    params: Any = neck.init(jax.random.key(0), (jnp.zeros((1, 256)),))['params']
    assert float(params['fc']['kernel'].std()) == pytest.approx(0.5, rel=0.02)
    assert not params['fc']['bias'].any()
