import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.backbones import CAEViT, MAEViT, MoCoV3ViT, VisionTransformer
from jssl.components import build
from jssl.interop.model_dicts import model_config
from jssl.layers.pooling import pool_features
from jssl.layers.position_embedding import resize_positions
from jssl.weights.stacked import stack_like
from tests.checks import applied, assert_drawn_like, assert_trees_close, refused, well_scaled

ARCH = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 32}
IMAGES = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
RNGS = {'drop_path': jax.random.key(2)}


def shapes_of(model: VisionTransformer, side: int = 16) -> tuple[Any, Any]:
    """Shapes of what `model` gives for two images, and of its parameters."""
    images = jax.ShapeDtypeStruct((2, side, side, 3), 'float32')
    call = lambda x: model.init_with_output(jax.random.key(0), x, train=False)  # noqa: E731
    features, variables = jax.eval_shape(call, images)
    return features, variables['params']


def count(params: Any, model: VisionTransformer | None = None) -> int:
    """Numbers in `params`, without those that `model` does not train."""
    leaves = jax.tree.leaves_with_path(params)
    names = [jax.tree_util.keystr(path, simple=True, separator='.') for path, _ in leaves]
    sizes = [math.prod(leaf.shape) for _, leaf in leaves]
    pairs = zip(names, sizes, strict=True)
    return sum(size for name, size in pairs if model is None or not model.is_frozen(name))


def tiny(kind: type = VisionTransformer, **options: Any) -> tuple[VisionTransformer, Any]:
    model = kind(ARCH, img_size=16, patch_size=4, **options)
    return model, well_scaled(shapes_of(model)[1])


def run(model: VisionTransformer, variables: Any, images: jax.Array, **options: Any) -> Any:
    return jax.jit(functools.partial(model.apply, **options))(variables, images)


def gradients(model: VisionTransformer, params: Any) -> Any:
    """Gradients of the parameters, of a scalar that every feature has a part in."""

    def total(params: Any) -> jax.Array:
        features = applied(model, {'params': params}, IMAGES, train=False)
        sums = (jnp.sum(jnp.sin(feature)) for feature in jax.tree.leaves(features))
        return sum(sums, jnp.zeros(()))

    return jax.jit(jax.grad(total))(params)


@pytest.mark.parametrize(
    ('arch', 'stored', 'trained'),
    [
        ('small', 21_665_664, 21_294_720),
        ('base', 85_798_656, 85_056_768),
        ('large', 303_301_632, 302_312_448),
    ],
)
def test_parameter_counts_of_mocov3(arch: str, stored: int, trained: int) -> None:
    model = MoCoV3ViT(arch, stop_grad_conv1=True)
    _, params = shapes_of(model, 224)
    assert count(params) == stored
    assert count(params, model) == trained


def test_parameter_counts_of_mae() -> None:
    model = VisionTransformer('base', fixed_positions=True)
    assert count(shapes_of(model, 224)[1], model) == 85_647_360
    huge = VisionTransformer('huge', patch_size=14)
    assert count(shapes_of(huge, 224)[1]) == 630_764_800


def test_the_other_sizes_have_the_widths_of_their_table() -> None:
    assert VisionTransformer('deit-s').size.num_heads == 6
    assert VisionTransformer('mocov3-small').size == MoCoV3ViT('small').size
    assert VisionTransformer(ARCH).size.num_layers == 2


def test_the_features_are_a_map_and_the_class_token() -> None:
    features, _ = shapes_of(VisionTransformer(ARCH, img_size=16, patch_size=4))
    assert [leaf.shape for leaf in features[0]] == [(2, 4, 4, 16), (2, 16)]
    assert pool_features(features).shape == (2, 16)


def test_the_mean_of_the_patch_tokens_with_a_norm_of_its_own() -> None:
    plain, params = tiny(final_norm=False)
    averaged, more = tiny(final_norm=False, avg_token=True)
    assert set(more) == {*params, 'ln2'}
    tokens = run(plain, {'params': params}, IMAGES)[0][0].mean((1, 2))
    expected = (tokens - tokens.mean(-1, keepdims=True)) / tokens.std(-1, keepdims=True)
    expected = expected * more['ln2']['scale'] + more['ln2']['bias']
    out = run(averaged, {'params': {**params, 'ln2': more['ln2']}}, IMAGES)
    assert len(out) == 1
    np.testing.assert_allclose(out[0], expected, atol=1e-4)


def test_another_size_of_images_resizes_the_positions() -> None:
    model, params = tiny()
    larger = VisionTransformer(ARCH, img_size=24, patch_size=4)
    images = jax.random.normal(jax.random.key(3), (2, 24, 24, 3))
    resized = {**params, 'pos_embed': resize_positions(params['pos_embed'], (6, 6))}
    expected = run(larger, {'params': resized}, images)
    assert_trees_close(run(model, {'params': params}, images), expected, atol=1e-5)


def test_every_block_has_biases_by_relative_position() -> None:
    model, params = tiny(use_rel_pos_bias=True)
    tables = [params[f'layers.{index}']['attn']['relative_position_bias_table'] for index in (0, 1)]
    assert {table.shape for table in tables} == {(2, 7 * 7 + 3)}
    grads = gradients(model, params)
    for index in (0, 1):
        assert np.any(grads[f'layers.{index}']['attn']['relative_position_bias_table'])
    assert model.get_layer_depth('layers.1.attn.relative_position_bias_table') == (2, 4)
    with refused('use_rel_pos_bias=True', '4 x 4', '6 x 6', 'backbone.img_size=24'):
        model.apply({'params': params}, jnp.zeros((1, 24, 24, 3)), train=False)


def test_all_blocks_may_share_their_biases_by_relative_position() -> None:
    options: Any = dict(use_shared_rel_pos_bias=True, use_abs_pos_emb=False)
    model, params = tiny(**options)
    table = params['rel_pos_bias']['relative_position_bias_table']
    assert table.shape == (2, 7 * 7 + 3)
    assert 'pos_embed' not in params
    assert model.get_layer_depth('rel_pos_bias.relative_position_bias_table') == (0, 4)
    own, _ = tiny(use_rel_pos_bias=True, use_abs_pos_emb=False)
    blocks = {
        f'layers.{index}': params[f'layers.{index}']
        | {'attn': params[f'layers.{index}']['attn'] | {'relative_position_bias_table': table}}
        for index in (0, 1)
    }
    rest = {name: value for name, value in params.items() if name != 'rel_pos_bias'} | blocks
    expected = run(own, {'params': rest}, IMAGES)
    assert_trees_close(run(model, {'params': params}, IMAGES), expected, atol=1e-5)
    stacked, _ = tiny(scan_layers=True, **options)
    scanned = run(stacked, {'params': stack_like(params, shapes_of(stacked)[1])}, IMAGES)
    assert_trees_close(scanned, expected, atol=1e-5)
    with refused('use_rel_pos_bias=True', 'use_shared_rel_pos_bias=True', 'one of them'):
        tiny(use_rel_pos_bias=True, **options)


def test_biases_by_relative_position_are_refused_where_patches_are_hidden() -> None:
    model, params = tiny(MAEViT, use_rel_pos_bias=True)
    with refused('use_rel_pos_bias=True', 'hides', 'fine-tuning'):
        model.apply({'params': params}, IMAGES, ids_keep=jnp.zeros((2, 3), int))


@pytest.mark.parametrize('kind', [VisionTransformer, MAEViT, CAEViT, MoCoV3ViT])
def test_every_vision_transformer_takes_a_mask_and_a_choice_of_patches(kind: type) -> None:
    """What is hidden has the mask token and its own position, whether all are computed or some."""
    model, params = tiny(kind, layer_scale=None, qkv_bias=True)
    token = {'mask_token': jax.random.normal(jax.random.key(3), (1, 1, 16))}
    mask = jnp.zeros((2, 4, 4), int).at[:, 0, :2].set(1)
    ids = jnp.array([[0, 1, 7], [1, 0, 2]])
    call = functools.partial(run, model, {'params': params | token}, train=False, mask=mask)
    some = call(IMAGES, ids_keep=ids)
    assert some.shape == (2, 4, 16)
    unseen = IMAGES.at[:, :4, :8].add(9.0)  # patches 0 and 1
    np.testing.assert_array_equal(call(unseen, ids_keep=ids), some)
    assert np.abs(some[0, 1] - some[0, 2]).max() > 1e-3
    order = call(IMAGES, ids_keep=jnp.tile(jnp.arange(16), (2, 1)))
    [(whole, cls_token)] = call(IMAGES)
    np.testing.assert_allclose(order[:, 1:], whole.reshape(2, 16, 16), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(order[:, 0], cls_token, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('options', [{}, {'use_rel_pos_bias': True}])
def test_remat_and_scan_change_no_number(options: dict[str, Any]) -> None:
    model, params = tiny(**options)
    plain = gradients(model, params)
    assert_trees_close(gradients(model.clone(remat=True), params), plain, rtol=1e-4, atol=1e-5)
    layers = [params[f'layers.{index}'] for index in range(2)]
    rest = {key: value for key, value in params.items() if 'layers' not in key}
    stacked = {**rest, 'layers': jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)}
    scanned = gradients(model.clone(scan_layers=True, remat=True), stacked)
    for index in range(2):
        layer = jax.tree.map(lambda leaf, index=index: leaf[index], scanned['layers'])
        assert_trees_close(layer, plain[f'layers.{index}'], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('options', [{}, {'remat': True}, {'scan_layers': True}])
def test_drop_path_acts_in_training_alone_and_by_its_key(options: dict[str, Any]) -> None:
    model, params = tiny(drop_path_rate=0.9, **options)
    variables = {'params': params}
    still = run(model, variables, IMAGES, train=False)
    first, again = (run(model, variables, IMAGES, rngs=RNGS) for _ in range(2))
    assert_trees_close(first, again, atol=0)
    assert not np.allclose(pool_features(first), pool_features(still), atol=1e-2)
    with refused('drop_path_rate', 'rngs'):
        model.apply(variables, IMAGES)


def test_bfloat16_compute_leaves_parameters_in_float32() -> None:
    model = VisionTransformer(ARCH, img_size=16, patch_size=4, dtype=jnp.bfloat16)
    features, params = shapes_of(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(features)} == {jnp.dtype('bfloat16')}
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}


@pytest.mark.parametrize(
    ('options', 'trained'),
    [
        ({'fixed_positions': True}, 'cls_token ln1 patch_embed layers.0 layers.1'),
        ({'frozen_stages': 0}, 'ln1 layers.0 layers.1'),
        ({'frozen_stages': 1}, 'ln1 layers.1'),
        ({'frozen_stages': 2}, ''),
    ],
)
def test_what_is_frozen_has_no_gradient_and_says_so(options: Any, trained: str) -> None:
    model, params = tiny(**options)
    grads = gradients(model, params)
    moved = {key for key, tree in grads.items() if any(map(np.any, jax.tree.leaves(tree)))}
    assert moved == set(trained.split())
    assert {key for key in params if not model.is_frozen(key)} == moved


def test_mocov3_keeps_its_patch_projection_and_positions() -> None:
    model, params = tiny(MoCoV3ViT, stop_grad_conv1=True)
    grads = gradients(model, params)
    assert not any(map(np.any, jax.tree.leaves(grads['patch_embed'])))
    assert not np.any(grads['pos_embed'])
    assert np.any(grads['cls_token'])
    assert model.is_frozen('patch_embed.projection.bias')
    assert not MoCoV3ViT(ARCH).is_frozen('patch_embed.projection.bias')


def test_fresh_parameters_are_drawn_as_in_mocov3() -> None:
    arch = {'embed_dims': 128, 'num_layers': 2, 'num_heads': 4, 'feedforward_channels': 512}
    model = MoCoV3ViT(arch, img_size=64, stop_grad_conv1=True)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))['params']
    assert_drawn_like({'backbone': params}, 'mocov3_vit')


def test_depths_of_layers() -> None:
    model = VisionTransformer(ARCH)
    assert model.get_layer_depth('pos_embed') == (0, 4)
    assert model.get_layer_depth('layers.1.ffn.layers.0.0.kernel') == (2, 4)
    assert model.get_layer_depth('ln1.scale') == (3, 4)
    with refused('layer_decay_rate', 'scan_layers'):
        VisionTransformer(ARCH, scan_layers=True).get_layer_depth('ln1.scale')


def test_a_config_of_the_reference_names_it() -> None:
    config = {'type': 'mmselfsup.MoCoV3ViT', 'arch': 'mocov3-small', 'norm_eval': False}
    assert build('backbone', model_config(config)) == MoCoV3ViT('mocov3-small')


@pytest.mark.parametrize(
    ('wrong', 'parts'),
    [
        ({'arch': 'bas'}, ("arch='bas'", "Did you mean 'base'?")),
        ({'arch': {'embed_dims': 8}}, ('arch=', 'num_layers, num_heads')),
        ({'img_size': 100}, ('img_size=100', 'patch_size=16')),
        ({'frozen_stages': 13}, ('frozen_stages=13', 'to 12')),
        ({'frozen_stages': 2, 'scan_layers': True}, ('frozen_stages=2', 'scan_layers')),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        VisionTransformer(**wrong)
