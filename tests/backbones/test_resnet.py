import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.backbones import ResNet
from jssl.backbones.resnet import BasicBlock, Bottleneck
from jssl.layers.batch_norm import BatchNorm
from tests.checks import assert_drawn_like, assert_trees_close, refused, well_scaled, widened

TRAINABLE = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160, 152: 58_143_808}


def shapes_of(model: ResNet, side: int, **options: Any) -> Any:
    """Shapes of what `model` gives for two images, and of its variables; nothing is computed."""
    images = jax.ShapeDtypeStruct((2, side, side, 3), 'float32')
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    features = jax.eval_shape(lambda v, x: model.apply(v, x, False, **options), variables, images)
    return features, variables


def tiny(**options: Any) -> tuple[ResNet, Any, jax.Array]:
    """A net of two blocks, its variables, and eight images."""
    model = ResNet(10, 4, strides=(1, 2), out_indices=(0, 2), cifar_stem=True, **options)
    variables = well_scaled(shapes_of(model, 8)[1])
    return model, variables, jax.random.normal(jax.random.key(1), (8, 8, 8, 3))


def train_pass(model: ResNet, variables: Any, images: jax.Array) -> tuple[Any, Any]:
    features, updates = model.apply(variables, images, mutable=['batch_stats'])
    return features, updates['batch_stats']


@pytest.mark.parametrize('depth', TRAINABLE)
def test_parameter_counts(depth: int) -> None:
    _, variables = shapes_of(ResNet(depth=depth), 64)
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))
    assert count == TRAINABLE[depth]


@pytest.mark.parametrize(
    ('depth', 'strides', 'zero_init', 'case'),
    [(18, (1, 2), True, 'simclr'), (50, (1,), False, 'deepcluster_r50')],
)
def test_fresh_parameters_are_drawn_as_in_the_reference(
    depth: int, strides: tuple[int, ...], zero_init: bool, case: str
) -> None:
    model = ResNet(
        depth, strides=strides, out_indices=(len(strides),), zero_init_residual=zero_init
    )
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((2, 8, 8, 3)))['params']
    assert_drawn_like({'backbone': params}, case)


def test_outputs_of_a_resnet50() -> None:
    features, _ = shapes_of(ResNet(out_indices=(0, 1, 2, 3, 4)), 224)
    sides = [(112, 64), (56, 256), (28, 512), (14, 1024), (7, 2048)]
    assert [feature.shape for feature in features] == [(2, s, s, width) for s, width in sides]


def test_by_default_the_last_stage_alone_comes_out_as_a_tuple() -> None:
    features, _ = shapes_of(ResNet(depth=18), 64)
    assert [feature.shape for feature in features] == [(2, 2, 2, 512)]


def test_outputs_come_in_the_order_asked_for() -> None:
    features, _ = shapes_of(ResNet(depth=18, out_indices=(4, 1)), 64)
    assert [feature.shape for feature in features] == [(2, 2, 2, 512), (2, 16, 16, 64)]


def test_the_cifar_stem_keeps_the_resolution() -> None:
    features, variables = shapes_of(ResNet(depth=18, cifar_stem=True, out_indices=(0, 1, 4)), 32)
    assert [feature.shape[1] for feature in features] == [32, 32, 4]
    assert variables['params']['conv1']['kernel'].shape == (3, 3, 3, 64)


def test_as_many_stages_as_strides() -> None:
    model = ResNet(depth=10, base_channels=16, strides=(2, 1), out_indices=(2,), cifar_stem=True)
    features, variables = shapes_of(model, 32)
    assert features[0].shape == (2, 16, 16, 32)
    assert {name for name in variables['params'] if 'layer' in name} == {'layer1.0', 'layer2.0'}


@pytest.mark.parametrize(('style', 'sides'), [('pytorch', (16, 8)), ('caffe', (8, 8))])
def test_where_a_bottleneck_strides(style: str, sides: tuple[int, int]) -> None:
    outputs, _ = shapes_of(ResNet(style=style), 64, capture_intermediates=True)
    block = outputs[1]['intermediates']['layer2.0']
    maps = [block[name]['__call__'][0] for name in ('conv1', 'conv2')]
    assert tuple(feature.shape[1] for feature in maps) == sides


@pytest.mark.parametrize('kind', [BasicBlock, Bottleneck])
def test_zero_init_residual_starts_a_block_as_its_shortcut(
    kind: type[BasicBlock] | type[Bottleneck],
) -> None:
    block = kind(
        channels=8 // kind.expansion, stride=1, norm=partial(BatchNorm), zero_init_residual=True
    )
    images = jax.random.normal(jax.random.key(1), (2, 3, 3, 8))
    draw = jax.jit(lambda x: block.init_with_output(jax.random.key(0), x, train=False))
    out, variables = draw(images)
    np.testing.assert_array_equal(out, np.maximum(images, 0))
    scales = {name: norm['scale'] for name, norm in variables['params'].items() if 'bn' in name}
    closing = max(scales)
    assert all((scale == (name != closing)).all() for name, scale in scales.items())


def test_grouped_statistics_are_two_passes_of_half_the_batch() -> None:
    model, variables, images = tiny()

    @jax.jit
    def both(images: jax.Array) -> Any:
        grouped = train_pass(model.clone(bn_group_size=4), variables, images)
        halves = images.reshape(2, 4, *images.shape[1:])
        return grouped, jax.vmap(lambda half: train_pass(model, variables, half))(halves)

    (features, stats), (half_features, half_stats) = both(images)
    joined = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), half_features)
    assert_trees_close(features, joined, atol=1e-5)
    assert_trees_close(stats, jax.tree.map(lambda leaf: leaf.mean(0), half_stats), atol=1e-6)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, 'bfloat16'])
def test_bfloat16_compute_leaves_parameters_and_statistics_in_float32(dtype: Any) -> None:
    features, variables = shapes_of(ResNet(10, 4, dtype=dtype), 32)
    assert features[0].dtype == 'bfloat16'
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}


def test_bfloat16_features_are_near_the_float32_ones() -> None:
    model, variables, images = tiny()
    rough = model.clone(dtype=jnp.bfloat16)
    passes = jax.jit(lambda x: [train_pass(net, variables, x)[0][-1] for net in (model, rough)])
    exact, near = passes(images)
    assert 0 < np.linalg.norm(exact - near) < 0.03 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    ('wrong', 'parts'),
    [
        ({'depth': 51}, ('depth=51', "Did you mean '50'?", '152')),
        ({'style': 'torch'}, ("style='torch'", "'pytorch' or 'caffe'")),
        ({'strides': ()}, ('strides=()', 'one to four')),
        ({'strides': (1, 2, 2, 2, 2)}, ('one to four',)),
        ({'out_indices': (5,)}, ('out_indices=(5,)', 'to 4')),
        ({'strides': (1, 2), 'out_indices': (3,)}, ('out_indices=(3,)', 'to 2')),
        ({'out_indices': ()}, ('out_indices=()',)),
        ({'frozen_stages': 5}, ('frozen_stages=5', 'to 4')),
        ({'strides': (1,), 'out_indices': (1,), 'frozen_stages': -2}, ('frozen_stages=-2',)),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        ResNet(**wrong)


def gradients(model: ResNet, variables: Any, images: jax.Array) -> tuple[Any, Any]:
    """Gradients of the parameters, and the statistics, after a pass in training mode."""

    def total(params: Any) -> tuple[jax.Array, Any]:
        features, stats = train_pass(model, {**variables, 'params': params}, images)
        sums = (jnp.sum(jnp.sin(feature)) for feature in features)
        return sum(sums, jnp.zeros(())), stats

    return jax.jit(jax.grad(total, has_aux=True))(variables['params'])


@pytest.mark.parametrize(
    ('frozen_stages', 'trained'),
    [(0, {'layer1.0', 'layer2.0'}), (1, {'layer2.0'}), (2, set())],
)
def test_frozen_stages_neither_train_nor_adapt(frozen_stages: int, trained: set[str]) -> None:
    model, variables, images = tiny(frozen_stages=frozen_stages)
    grads, stats = gradients(model, variables, images)
    moved = {key for key, tree in grads.items() if any(map(np.any, jax.tree.leaves(tree)))}
    assert moved == trained
    assert {key for key in variables['params'] if not model.is_frozen(f'{key}.kernel')} == trained
    for key, before in variables['batch_stats'].items():
        leaves = zip(jax.tree.leaves(stats[key]), jax.tree.leaves(before), strict=True)
        assert all((a == b).all() for a, b in leaves) == (key not in trained)


def test_norm_eval_keeps_the_statistics_and_trains_the_scales() -> None:
    model, variables, images = tiny(norm_eval=True)
    grads, stats = gradients(model, variables, images)
    assert_trees_close(stats, variables['batch_stats'], atol=0)
    assert np.any(grads['bn1']['scale'])
    still = jax.jit(lambda: model.apply(variables, images, train=False))()
    assert_trees_close(jax.jit(lambda: train_pass(model, variables, images)[0])(), still, atol=1e-6)


def test_remat_changes_no_number() -> None:
    model, *given = tiny()
    with jax.enable_x64(True):
        variables, images = widened(given)
        plain = gradients(model, variables, images)
        again = gradients(model.clone(remat=True), variables, images)
    assert_trees_close(again, plain, rtol=1e-9, atol=1e-9)
