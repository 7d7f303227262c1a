from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Algorithm
from jssl.algorithms import SimCLR
from jssl.backbones import ResNetSobel
from jssl.interop import mmselfsup
from jssl.interop.model_dicts import model_config
from tests import golden
from tests.checks import assert_trees_close, refused, tiny_simclr, well_scaled

# As published for 16 devices of 256 images, without the pipeline.
PUBLISHED: dict[str, Any] = {
    'type': 'mmselfsup.SimCLR',
    'data_preprocessor': {'mean': (123.675, 116.28, 103.53), 'std': (58.395, 57.12, 57.375)},
    'backbone': {
        'type': 'ResNet',
        'depth': 50,
        'in_channels': 3,
        'out_indices': [4],
        'norm_cfg': {'type': 'SyncBN'},
        'zero_init_residual': True,
    },
    'neck': {
        'type': 'NonLinearNeck',
        'in_channels': 2048,
        'hid_channels': 2048,
        'out_channels': 128,
        'num_layers': 2,
        'with_avg_pool': True,
    },
    'head': {
        'type': 'ContrastiveHead',
        'loss': {'type': 'mmcls.CrossEntropyLoss'},
        'temperature': 0.1,
    },
}


def shapes(algorithm: Algorithm, side: int = 8) -> tuple[Any, Any]:
    images = jax.ShapeDtypeStruct((2, side, side, 3), 'float32')
    return jax.eval_shape(algorithm.init, jax.random.key(0), {'views': (images, images)})


@pytest.fixture(scope='module')
def tiny() -> tuple[dict[str, np.ndarray], Any, Any]:
    """Weights of a tiny SimCLR in the reference's names, and the shapes they belong to."""
    params, state = shapes(tiny_simclr())
    weights = mmselfsup.export_state(*well_scaled((params, state)))
    return weights, params, state


def test_the_published_model_dict_is_understood() -> None:
    algorithm = mmselfsup.build_model(PUBLISHED)
    assert isinstance(algorithm, SimCLR)
    backbone, neck, head = algorithm.backbone, algorithm.neck, algorithm.head
    assert (backbone.depth, tuple(backbone.out_indices)) == (50, (4,))
    assert backbone.zero_init_residual
    assert (neck.in_channels, neck.hid_channels, neck.out_channels) == (2048, 2048, 128)
    assert (head.temperature, head.loss_weight) == (0.1, 1.0)


def test_scopes_are_dropped_and_the_weight_of_a_loss_is_kept() -> None:
    loss = {'type': 'mmcls.CrossEntropyLoss', 'loss_weight': 0.5}
    head = {'type': 'mmselfsup.ContrastiveHead', 'loss': loss}
    assert model_config(head) == {'type': 'ContrastiveHead', 'loss_weight': 0.5}
    nested = model_config({**PUBLISHED, 'head': head})
    assert nested['type'] == 'SimCLR'
    built: Any = mmselfsup.build_model({**PUBLISHED, 'head': head})
    assert built.head.loss_weight == 0.5


def test_the_model_dict_is_left_as_it_was() -> None:
    model_config(PUBLISHED)
    assert PUBLISHED['type'] == 'mmselfsup.SimCLR'
    assert PUBLISHED['backbone']['in_channels'] == 3
    assert 'loss' in PUBLISHED['head']


@pytest.mark.parametrize(
    ('part', 'change', 'expected'),
    [
        ('backbone', {'in_channels': 2}, ('ResNet with in_channels=2',)),
        ('backbone', {'type': 'mmcls.ResNet50'}, ("'ResNet50'", "Did you mean 'ResNet'?")),
        ('neck', {'with_bais': True}, ('config.model.neck.with_bais', "'with_bias'")),
        ('head', {'loss': {'type': 'mmcls.FocalLoss'}}, ('config.model.head.loss',)),
    ],
)
def test_what_jssl_does_not_have_is_refused(
    part: str, change: dict[str, Any], expected: tuple[str, ...]
) -> None:
    with refused(*expected):
        mmselfsup.build_model({**PUBLISHED, part: {**PUBLISHED[part], **change}})


@pytest.mark.parametrize('wrong', [{}, {'backbone': {}}])
def test_a_dict_without_a_type_is_refused(wrong: dict[str, Any]) -> None:
    with refused("'type'"):
        mmselfsup.build_model(wrong)


def is_a_small_simclr(meta: golden.Meta) -> bool:
    return meta['model'].get('type') == 'SimCLR' and not golden.is_deep(meta)


@golden.each('step', of=is_a_small_simclr)
def test_reference_weights_survive_the_way_in_and_out(path: Path) -> None:
    saved = golden.File(path)
    weights = saved.state()
    side = saved.meta['input_spec'][saved.meta['views'][0]]['shape'][-1]
    params, state = shapes(mmselfsup.build_model(golden.plain(saved.meta['model'])), side)
    params, state = mmselfsup.import_state(weights, params, {**state, 'counter': np.int32(7)})
    assert state['counter'] == 7
    exported = mmselfsup.export_state(params, state)
    expected = {key: value for key, value in weights.items() if 'num_batches' not in key}
    assert exported.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(exported[key], value, err_msg=key)


def test_layouts_are_transposed(tiny: tuple[dict[str, np.ndarray], Any, Any]) -> None:
    weights, _, _ = tiny
    params, _ = mmselfsup.import_state(*tiny)
    projection = params['backbone']['layer1.0']['downsample.0']['kernel']
    assert projection[0, 0, 3, 5] == weights['backbone.layer1.0.downsample.0.weight'][5, 3, 0, 0]
    convolution = params['backbone']['conv1']['kernel']
    assert convolution.shape == (3, 3, 3, 8)
    assert convolution[0, 2, 1, 3] == weights['backbone.conv1.weight'][3, 1, 0, 2]
    assert params['neck']['fc0']['kernel'][2, 6] == weights['neck.fc0.weight'][6, 2]


def test_the_way_out_and_in_gives_the_same_trees(
    tiny: tuple[dict[str, np.ndarray], Any, Any],
) -> None:
    _, params, state = tiny
    params, state = well_scaled((params, state))
    weights = mmselfsup.export_state(params, state)
    assert_trees_close(mmselfsup.import_state(weights, params, state), (params, state), rtol=0)


def test_precision_is_that_of_the_weights(tiny: tuple[dict[str, np.ndarray], Any, Any]) -> None:
    weights, *others = tiny
    with jax.enable_x64(True):
        wide = {key: value.astype('float64') for key, value in weights.items()}
        params, _ = mmselfsup.import_state(wide, *others)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {'float64'}


def test_a_missing_key_is_refused(tiny: tuple[dict[str, np.ndarray], Any, Any]) -> None:
    weights, *others = tiny
    fewer = {key: value for key, value in weights.items() if key != 'neck.fc0.weight'}
    with refused("no 'neck.fc0.weight'", 'backbone.bn1.bias'):
        mmselfsup.import_state(fewer, *others)


def test_a_key_too_many_is_refused(tiny: tuple[dict[str, np.ndarray], Any, Any]) -> None:
    weights, *others = tiny
    more = {**weights, 'neck.fc2.weight': np.zeros(3), 'neck.bn1.num_batches_tracked': np.zeros(())}
    with refused('1 keys of the weights have no place', 'neck.fc2.weight'):
        mmselfsup.import_state(more, *others)


def test_another_shape_is_refused_in_the_reference_s_layout(
    tiny: tuple[dict[str, np.ndarray], Any, Any],
) -> None:
    weights, *others = tiny
    wider = {**weights, 'backbone.conv1.weight': np.zeros((16, 3, 7, 7))}
    with refused("'backbone.conv1.weight'", '(16, 3, 7, 7)', '(8, 3, 3, 3)'):
        mmselfsup.import_state(wider, *others)


@pytest.mark.parametrize('dtype', ['int32', 'complex64', 'bool'])
def test_weights_that_are_no_floats_are_refused(
    tiny: tuple[dict[str, np.ndarray], Any, Any], dtype: str
) -> None:
    weights, *others = tiny
    changed = {**weights, 'backbone.bn1.bias': np.zeros(8, dtype)}
    with refused("'backbone.bn1.bias'", dtype):
        mmselfsup.import_state(changed, *others)


def test_filters_of_a_sobel_network_come_along() -> None:
    model = ResNetSobel(10, 4, strides=(2,), out_indices=(1,), cifar_stem=True)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    variables = well_scaled(shapes)
    params = {'backbone': variables['params']}
    state = {'batch_stats': {'backbone': variables['batch_stats']}}
    weights = mmselfsup.export_state(params, state)
    assert weights['backbone.sobel_layer.sobel.0.weight'].shape == (1, 3, 1, 1)
    assert weights['backbone.sobel_layer.sobel.1.weight'].shape == (2, 1, 3, 3)
    _, again = mmselfsup.import_state(weights, params, state)
    assert_trees_close(again, state)
