from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jssl.heads import MoCoV3Head
from jssl.interop import mmselfsup
from jssl.necks import NonLinearNeck
from jssl.networks import Network
from tests.checks import assert_drawn_like, matrix, refused, well_scaled

WIDTHS: dict[str, Any] = {'in_channels': 3, 'hid_channels': 4, 'out_channels': 2}
SHAPES = jax.eval_shape(NonLinearNeck(**WIDTHS).init, jax.random.key(0), (jnp.zeros((4, 3)),))
VARIABLES = well_scaled(SHAPES)


def names(**flags: Any) -> set[str | None]:
    """The parameters of a neck of two layers, in the reference's names."""
    neck = NonLinearNeck(**WIDTHS, **flags)
    features = (jax.ShapeDtypeStruct((4, 2, 2, 3), 'float32'),)
    params = jax.eval_shape(neck.init, jax.random.key(0), features)['params']
    return {mmselfsup.reference_key(place) for place in flatten_dict({'params': params})}


def run(neck: NonLinearNeck, variables: Any, features: jax.Array, train: bool = True) -> jax.Array:
    apply = jax.jit(lambda v, x: neck.apply(v, (x,), train, mutable=['batch_stats']))
    return apply(variables, features)[0]


def test_hand_made_values() -> None:
    neck = NonLinearNeck(**WIDTHS, with_bias=True, with_last_bn_affine=False, with_avg_pool=False)
    weights = {
        'fc0.weight': matrix(4, 3, 0.1),
        'fc0.bias': matrix(1, 4, 0.3)[0],
        'fc1.weight': matrix(2, 4, 0.5),
        'bn0.weight': np.ones(4),
        'bn0.bias': np.zeros(4),
    }
    stats = {'running_mean': np.zeros, 'running_var': np.ones}
    for name, width in [('bn0', 4), ('bn1', 2)]:
        weights |= {f'{name}.{key}': make(width) for key, make in stats.items()}
    with jax.enable_x64(True):
        features = (jnp.asarray(matrix(5, 3, 0.7)),)
        shapes = jax.eval_shape(neck.init, jax.random.key(0), features)
        params, state = mmselfsup.import_state(
            weights, shapes['params'], {'batch_stats': shapes['batch_stats']}
        )
        variables = {'params': params, 'batch_stats': state['batch_stats']}
        out, _ = neck.apply(variables, features, mutable=['batch_stats'])
    expected = [
        [1.63606452, 1.74319757],
        [0.54835494, 0.02046398],
        [-1.17506083, -1.33544368],
        [-0.76194438, -0.42112125],
        [-0.24741425, -0.00709662],
    ]
    np.testing.assert_allclose(out, expected, atol=1e-8)


WEIGHTS = {'fc0.weight', 'fc1.weight', 'bn0.weight', 'bn0.bias'}


@pytest.mark.parametrize(
    ('flags', 'further'),
    [
        ({}, {'bn1.weight', 'bn1.bias'}),
        ({'with_bias': True}, {'fc0.bias', 'bn1.weight', 'bn1.bias'}),
        ({'with_last_bias': True}, {'fc1.bias', 'bn1.weight', 'bn1.bias'}),
        ({'with_last_bn_affine': False}, set()),
        ({'with_last_bn': False}, set()),
        (
            {'with_last_bn': False, 'with_bias': True, 'with_last_bias': True},
            {'fc0.bias', 'fc1.bias'},
        ),
    ],
)
def test_which_parameters_there_are(flags: dict[str, bool], further: set[str]) -> None:
    assert names(**flags) == WEIGHTS | further


def test_one_layer_is_the_last_one() -> None:
    assert names(num_layers=1, with_bias=True, with_last_bn=False) == {'fc0.weight'}
    assert names(num_layers=1, with_last_bias=True) == {
        'fc0.weight',
        'fc0.bias',
        'bn0.weight',
        'bn0.bias',
    }


def test_hidden_layers_are_wide_and_the_last_is_not() -> None:
    neck = NonLinearNeck(**WIDTHS, num_layers=3)
    variables = jax.eval_shape(neck.init, jax.random.key(0), (jnp.zeros((4, 3)),))
    kernels = [variables['params'][f'fc{i}']['kernel'].shape for i in range(3)]
    assert kernels == [(3, 4), (4, 4), (4, 2)]


def test_maps_are_pooled_and_vectors_taken_as_they_are() -> None:
    maps = jax.random.normal(jax.random.key(1), (6, 2, 2, 3))
    from_maps = run(NonLinearNeck(**WIDTHS), VARIABLES, maps)
    taken = NonLinearNeck(**WIDTHS, with_avg_pool=False)
    from_vectors = run(taken, VARIABLES, maps.mean((1, 2)))
    np.testing.assert_allclose(from_maps, from_vectors, atol=1e-5)


def test_evaluation_uses_the_running_statistics() -> None:
    x = np.random.default_rng(1).standard_normal((8, 3))
    for i in range(2):
        layer, stats = VARIABLES['params'][f'bn{i}'], VARIABLES['batch_stats'][f'bn{i}']
        x = np.maximum(x, 0) if i else x
        x = x @ VARIABLES['params'][f'fc{i}']['kernel']
        x = (x - stats['mean']) / np.sqrt(stats['var'] + 1e-5) * layer['scale'] + layer['bias']
    inputs = jnp.asarray(np.random.default_rng(1).standard_normal((8, 3)), 'float32')
    out = run(NonLinearNeck(**WIDTHS), VARIABLES, inputs, train=False)
    np.testing.assert_allclose(out, x, rtol=1e-4, atol=1e-5)


def test_group_size_reaches_both_batch_norms() -> None:
    x = jax.random.normal(jax.random.key(1), (8, 3))
    grouped = run(NonLinearNeck(**WIDTHS, bn_group_size=4), VARIABLES, x)
    half = run(NonLinearNeck(**WIDTHS), VARIABLES, x[4:])
    np.testing.assert_allclose(grouped[4:], half, atol=1e-5)


def test_bfloat16_compute() -> None:
    neck = NonLinearNeck(**WIDTHS, dtype=jnp.bfloat16)
    out, variables = jax.eval_shape(
        lambda x: neck.init_with_output(jax.random.key(0), (x,)), jnp.zeros((4, 2, 2, 3))
    )
    assert out.dtype == 'bfloat16'
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}


def test_fresh_parameters_are_drawn_as_in_the_reference() -> None:
    neck = NonLinearNeck(in_channels=512, hid_channels=256, out_channels=128)
    params = jax.jit(neck.init)(jax.random.key(0), (jnp.zeros((2, 512)),))['params']
    assert_drawn_like({'neck': params}, 'simclr')


def test_a_fresh_bias_is_drawn_too() -> None:
    neck = NonLinearNeck(**WIDTHS, num_layers=3, with_bias=True, with_last_bias=True)
    params = neck.init(jax.random.key(0), (jnp.zeros((4, 3)),))['params']
    for i, fan_in in enumerate((3, 4, 4)):
        bias = np.abs(params[f'fc{i}']['bias'])
        assert bias.any()
        assert bias.max() <= fan_in**-0.5


def test_another_width_is_refused_with_the_right_one() -> None:
    with refused('in_channels=3', 'set config.model.neck.in_channels=5'):
        NonLinearNeck(**WIDTHS).init(jax.random.key(0), (jnp.zeros((4, 2, 2, 5)),))


def test_the_class_token_of_a_vision_transformer() -> None:
    neck = NonLinearNeck(**WIDTHS, vit_backbone=True, with_avg_pool=False)
    tokens = jax.random.normal(jax.random.key(1), (6, 3))
    features = ((jnp.ones((6, 2, 2, 3)), tokens),)
    out, _ = neck.apply(VARIABLES, features, mutable=['batch_stats'])
    from_vectors = run(NonLinearNeck(**WIDTHS, with_avg_pool=False), VARIABLES, tokens)
    np.testing.assert_allclose(out, from_vectors, atol=1e-5)


def test_features_of_the_wrong_kind_are_refused() -> None:
    maps = jnp.ones((6, 2, 2, 3))
    with refused('vit_backbone=True', 'set config.model.neck.vit_backbone=False'):
        NonLinearNeck(**WIDTHS, vit_backbone=True).apply(VARIABLES, (maps,), False)
    with refused('with_avg_pool=False', 'vit_backbone=True'):
        pair = ((maps, maps[:, 0, 0]),)
        NonLinearNeck(**WIDTHS, with_avg_pool=False).apply(VARIABLES, pair, False)


def test_a_predictor_names_its_own_place() -> None:
    head = MoCoV3Head(NonLinearNeck(**WIDTHS, with_avg_pool=False))
    none: Any = None
    network = Network(backbone=none, neck=none, head=head)
    with refused('set config.model.head.predictor.in_channels=7'):
        network.init(jax.random.key(0), jnp.ones((6, 7)), method='predict')
