import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.backbones import SwinTransformer
from jssl.backbones.swin import PatchMerging
from tests.checks import applied, assert_trees_close, refused, well_scaled

ARCH = {'embed_dims': 8, 'depths': [2, 1], 'num_heads': [1, 2]}
IMAGES = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))


def shapes_of(model: SwinTransformer, side: int = 32) -> tuple[Any, Any]:
    images = jax.ShapeDtypeStruct((2, side, side, 3), 'float32')
    call = lambda x: model.init_with_output(jax.random.key(0), x, train=False)  # noqa: E731
    features, variables = jax.eval_shape(call, images)
    return features, variables['params']


def tiny(**options: Any) -> tuple[SwinTransformer, Any]:
    model = SwinTransformer(ARCH, img_size=32, window_size=4, **({'out_indices': (1,)} | options))
    return model, {'params': well_scaled(shapes_of(model)[1])}


def run(model: SwinTransformer, variables: Any, images: jax.Array, **options: Any) -> Any:
    return jax.jit(functools.partial(model.apply, **options))(variables, images)


@pytest.mark.parametrize(
    ('arch', 'window', 'parameters'),
    [('base', 6, 86_725_304 - 128), ('large', 12, 195_198_708 - 192)],
)
def test_parameter_counts_of_simmim(arch: str, window: int, parameters: int) -> None:
    model = SwinTransformer(arch, img_size=192, window_size=window, pad_small_map=window == 12)
    _, params = shapes_of(model, 192)  # all but the mask token
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == parameters


def test_maps_of_all_stages_in_the_order_asked_for() -> None:
    features, params = shapes_of(SwinTransformer(out_indices=(3, 0)), 224)
    assert [feature.shape for feature in features] == [(2, 7, 7, 768), (2, 56, 56, 96)]
    assert {name for name in params if name.startswith('norm')} == {'norm3', 'norm0'}


def test_patch_merging_flattens_windows_channel_by_channel() -> None:
    x = jnp.arange(2 * 4 * 4 * 3.0).reshape(2, 4, 4, 3)
    merging = PatchMerging()
    variables = well_scaled(jax.eval_shape(merging.init, jax.random.key(0), x))
    window = np.asarray(x[1, 2:4, 0:2])  # one of them, (2, 2, 3)
    flat = window.transpose(2, 0, 1).ravel()
    params = variables['params']
    flat = (flat - flat.mean()) / flat.std() * params['norm']['scale'] + params['norm']['bias']
    expected = flat @ params['reduction']['kernel']
    np.testing.assert_allclose(applied(merging, variables, x)[1, 1, 0], expected, atol=1e-4)


def test_maps_of_odd_size_are_padded_before_merging() -> None:
    merging = PatchMerging()
    shape = jax.eval_shape(lambda x: merging.init_with_output(jax.random.key(0), x)[0], IMAGES)
    assert shape.shape == (2, 16, 16, 6)
    odd = jax.eval_shape(
        lambda x: merging.init_with_output(jax.random.key(0), x)[0], IMAGES[:, :31, :29]
    )
    assert odd.shape == (2, 16, 15, 6)


def test_remat_changes_no_number() -> None:
    arch = {'embed_dims': 8, 'depths': [2], 'num_heads': [1]}
    model = SwinTransformer(arch, window_size=4, out_indices=(0,), drop_path_rate=0.0)
    variables = {'params': well_scaled(shapes_of(model)[1])}

    def gradients(model: SwinTransformer) -> Any:
        total = lambda v: jnp.sum(jnp.sin(model.apply(v, IMAGES)[0]))  # noqa: E731
        return jax.jit(jax.grad(total))(variables)

    again = gradients(model.clone(remat=True))
    assert_trees_close(again, gradients(model), rtol=1e-4, atol=1e-4)


def test_drop_path_acts_in_training_alone_and_by_its_key() -> None:
    model, variables = tiny(drop_path_rate=0.9)
    still = run(model, variables, IMAGES, train=False)
    noisy = run(model, variables, IMAGES, rngs={'drop_path': jax.random.key(0)})
    assert not np.allclose(noisy[0], still[0], atol=1e-2)
    with refused('drop_path_rate', 'rngs'):
        model.apply(variables, IMAGES)


def test_absolute_positions_are_added_and_resized() -> None:
    model, variables = tiny(use_abs_pos_embed=True)
    params = variables['params']
    assert params['absolute_pos_embed'].shape == (1, 64, 8)
    zero = {**params, 'absolute_pos_embed': jnp.zeros((1, 64, 8))}
    plain = {key: value for key, value in params.items() if key != 'absolute_pos_embed'}
    same = run(model, {'params': zero}, IMAGES, train=False)
    without = run(tiny()[0], {'params': plain}, IMAGES, train=False)
    assert_trees_close(same, without, atol=1e-5)
    assert np.abs(run(model, variables, IMAGES, train=False)[0] - without[0]).max() > 0.01
    assert shapes_of(model, 48)[0][0].shape == (2, 6, 6, 16)


def test_all_matrices_but_the_patch_embedding_begin_with_the_spread_asked_for() -> None:
    model = SwinTransformer(ARCH, img_size=32, window_size=4, out_indices=(1,), init_std=0.3)
    params = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), IMAGES)
    flat = jax.tree_util.tree_leaves_with_path(params['params'])
    drawn = {jax.tree_util.keystr(path): float(leaf.std()) for path, leaf in flat}
    kernels = {name: spread for name, spread in drawn.items() if 'kernel' in name}
    [embedding] = [name for name in kernels if 'patch_embed' in name]
    assert kernels.pop(embedding) < 0.1
    assert len(kernels) == 3 * 4 + 1
    assert kernels == pytest.approx(dict.fromkeys(kernels, 0.3), rel=0.3)


def test_bfloat16_compute_leaves_parameters_in_float32() -> None:
    model = tiny()[0].clone(dtype=jnp.bfloat16)
    features, params = shapes_of(model)
    assert features[0].dtype == 'bfloat16'
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}


def test_depths_of_layers() -> None:
    model = tiny()[0]
    expected = {
        'patch_embed.norm.scale': 0,
        'stages.0.blocks.1.norm1.scale': 2,
        'stages.0.downsample.norm.scale': 2,
        'stages.1.blocks.0.norm1.scale': 3,
        'absolute_pos_embed': 4,
        'norm1.scale': 4,
    }
    assert {name: model.get_layer_depth(name) for name in expected} == {
        name: (depth, 5) for name, depth in expected.items()
    }


@pytest.mark.parametrize(
    ('wrong', 'parts'),
    [
        ({'arch': 'tinny'}, ("arch='tinny'", "Did you mean 'tiny'?")),
        ({'arch': {'embed_dims': 8}}, ('depths, num_heads',)),
        ({'arch': {**ARCH, 'num_heads': [1]}}, ('as many num_heads as depths',)),
        ({'out_indices': (4,)}, ('out_indices=(4,)', '0 to 3')),
        ({'out_indices': ()}, ('out_indices=()',)),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        SwinTransformer(**wrong)


def test_images_too_small_for_the_windows_are_refused() -> None:
    with refused('window_size=7', 'larger images'):
        shapes_of(SwinTransformer(), 96)
