"""Fields of `VisionTransformer` that DINOv2, DINOv3 and I-JEPA need, each alone and together."""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.backbones import VisionTransformer
from jssl.layers.pooling import pool_features
from jssl.layers.rotary import draw_rotary
from jssl.weights.names import key_of, load_tree, save_tree
from tests import golden
from tests.backbones.test_vit import ARCH, IMAGES, gradients, run, shapes_of, tiny
from tests.checks import assert_trees_close, refused

# From our names to those of the repositories, in this order.
RENAMES = (
    (r'^patch_embed\.projection', 'patch_embed.proj'),
    (r'^ln1', 'norm'),
    (r'^layers\.(\d+)\.', r'blocks.\1.'),
    (r'\.ln([12])', r'.norm\1'),
    (r'\.gamma_([12])', r'.ls\1.gamma'),
    (r'\.ffn\.layers\.0\.0', '.mlp.fc1'),
    (r'\.ffn\.layers\.1', '.mlp.fc2'),
    (r'\.ffn', '.mlp'),
)
QUICK = ('dinov2_sk_reg_swiglu', 'dinov2_drop', 'dinov3_vit')
IDS = jnp.array([[0, 1, 7], [1, 15, 2]])
VARIANTS: dict[str, dict[str, Any]] = {
    'no class token': {'with_cls_token': False},
    'registers': {'num_registers': 3},
    'rotary': {'rotary': {}, 'num_registers': 2},
    'all': {
        **{'rotary': {'base': 50.0}, 'with_cls_token': False, 'num_registers': 1},
        **{'ffn': 'swiglu', 'layer_scale': 0.5, 'mask_k_bias': True, 'norm_epsilon': 1e-5},
    },
}


def timm_name(names: Sequence[str]) -> str:
    """``('layers.0', 'ln1', 'scale')`` -> ``blocks.0.norm1.weight``."""
    return functools.reduce(lambda key, pair: re.sub(pair[0], pair[1], key), RENAMES, key_of(names))


@pytest.mark.parametrize('name', VARIANTS)
def test_a_choice_of_all_patches_is_the_whole_image(name: str) -> None:
    model, params = tiny(**VARIANTS[name])
    first = model.with_cls_token + model.num_registers
    call = functools.partial(run, model, {'params': params}, train=False)
    features = call(IMAGES)
    order = call(IMAGES, ids_keep=jnp.tile(jnp.arange(16), (2, 1)))
    assert order.shape == (2, first + 16, 16)
    whole = features[-1][0] if model.with_cls_token else features[-1]
    np.testing.assert_allclose(order[:, first:], whole.reshape(2, 16, 16), rtol=1e-4, atol=1e-5)
    assert call(IMAGES, ids_keep=IDS).shape == (2, first + 3, 16)
    if not model.with_cls_token:
        np.testing.assert_allclose(pool_features(features), whole.mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize('name', VARIANTS)
def test_every_parameter_has_gradients_and_looping_over_blocks_changes_none(name: str) -> None:
    model, params = tiny(**VARIANTS[name])
    grads = gradients(model, params)
    found = save_tree(grads, timm_name)
    assert {key for key, leaf in found.items() if not np.any(leaf)} == set()
    assert np.any(found['blocks.0.attn.qkv.bias'][16:32]) != model.mask_k_bias
    layers = [params[f'layers.{index}'] for index in range(2)]
    rest = {key: value for key, value in params.items() if 'layers' not in key}
    stacked = {**rest, 'layers': jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)}
    scanned = gradients(model.clone(scan_layers=True), stacked)['layers']
    last = jax.tree.map(lambda leaf: leaf[1], scanned)
    assert_trees_close(last, grads['layers.1'], rtol=1e-4, atol=1e-5)


def test_what_parameters_there_are() -> None:
    names = lambda **options: set(save_tree(tiny(**options)[1], timm_name))  # noqa: E731
    plain = names()
    assert names(num_registers=4) - plain == {'register_tokens'}
    assert plain - names(with_cls_token=False) == {'cls_token'}
    assert plain - names(rotary={}) == {'pos_embed'}
    fused, apart = names(ffn='swiglu_fused'), names(ffn='swiglu')
    assert {'blocks.0.mlp.w12.weight', 'blocks.0.mlp.w3.bias'} <= fused - plain
    assert {'blocks.1.mlp.w1.weight', 'blocks.1.mlp.w2.bias'} <= apart - plain
    assert tiny(with_cls_token=False)[1]['pos_embed'].shape == (1, 16, 16)
    assert tiny(with_cls_token=False, fixed_positions=True)[1]['pos_embed'].shape == (1, 16, 16)
    model = VisionTransformer(ARCH, num_registers=4)
    assert model.get_layer_depth('register_tokens') == (0, 4)


def test_random_rotary_positions_want_draws_in_training_alone() -> None:
    model, params = tiny(rotary={'rescale': 2.0})
    variables = {'params': params}
    still = run(model, variables, IMAGES, train=False)
    moved = run(model, variables, IMAGES, rotary_draws=draw_rotary(jax.random.key(0), 2))
    assert np.abs(pool_features(moved) - pool_features(still)).max() > 1e-3
    middle = run(model, variables, IMAGES, rotary_draws=jnp.full((2, 5), 0.5))
    assert_trees_close(middle, still, atol=1e-5)
    with refused('rotary is random', 'rotary_draws'):
        model.apply(variables, IMAGES)


def test_class_tokens_and_registers_of_local_crops_have_another_norm() -> None:
    model, params = tiny(rotary={}, num_registers=2, local_cls_norm=True)
    assert params['local_cls_norm']['scale'].shape == (16,)
    [(patches, cls_token)] = run(model, {'params': params}, IMAGES)
    [(same, other)] = run(model, {'params': params}, IMAGES, local=True)
    np.testing.assert_array_equal(same, patches)
    before = model.clone(final_norm=False)
    [(_, raw)] = run(before, {'params': params}, IMAGES)
    norm = params['local_cls_norm']
    expected = jax.nn.standardize(raw, epsilon=1e-6) * norm['scale'] + norm['bias']
    np.testing.assert_allclose(other, expected, atol=1e-5)
    assert np.abs(other - cls_token).max() > 1e-2
    assert model.get_layer_depth('local_cls_norm.scale') == (3, 4)


def test_subsets_are_drawn_from_the_key_or_given() -> None:
    model, params = tiny(drop_path_rate=0.5, drop_subsets=True)
    variables = {'params': params}
    still = pool_features(run(model, variables, IMAGES, train=False))
    drawn = pool_features(run(model, variables, IMAGES, rngs={'drop_path': jax.random.key(2)}))
    assert np.abs(drawn - still).max() > 1e-2
    first = run(model, variables, IMAGES, subsets=jnp.zeros((2, 2, 1), int))
    last = run(model.clone(scan_layers=True), scanned(variables), IMAGES, subsets=ones())
    features = pool_features(first), pool_features(last)
    skipped = run(model.clone(drop_path_rate=0.0), variables, IMAGES)
    assert np.abs(features[0][1] - pool_features(skipped)[1]).max() > 1e-2
    assert np.abs(features[1][1] - features[0][1]).max() > 1e-2
    # The sample that no branch runs on is its embedding alone, whatever the blocks are.
    other = {**params, 'layers.0': jax.tree.map(np.zeros_like, params['layers.0'])}
    again = pool_features(run(model, {'params': other}, IMAGES, subsets=jnp.zeros((2, 2, 1), int)))
    np.testing.assert_array_equal(again[1], features[0][1])
    with refused('drop_path_rate', 'rngs'):
        model.apply(variables, IMAGES)


def ones() -> jax.Array:
    return jnp.ones((2, 2, 1), int)


def scanned(variables: Any) -> Any:
    params = variables['params']
    layers = [params[f'layers.{index}'] for index in range(2)]
    rest = {key: value for key, value in params.items() if 'layers' not in key}
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
    return {'params': {**rest, 'layers': stacked}}


@pytest.mark.parametrize('options', [{'num_registers': 2}, {'with_cls_token': False}])
def test_biases_by_relative_position_stand_with_a_class_token_alone(options: Any) -> None:
    with refused('use_rel_pos_bias', f'{next(iter(options))}={next(iter(options.values()))}'):
        VisionTransformer(ARCH, use_rel_pos_bias=True, **options)


def test_a_mask_of_a_bias_that_is_not_there_is_refused() -> None:
    with refused('mask_k_bias=True', 'qkv_bias=False'):
        VisionTransformer(ARCH, mask_k_bias=True, qkv_bias=False)


def network_of(meta: Any) -> VisionTransformer:
    """The backbone of a file of DINOv2 or DINOv3."""
    model = golden.plain(meta['model'])
    dim = model['embed_dim']
    hidden = int(model.get('ffn_ratio', 4) * dim)
    arch = dict(zip(ARCH, (dim, model['depth'], model['num_heads'], hidden), strict=True))
    kinds = {'swiglufused': 'swiglu_fused', 'mlp': 'mlp', 'swiglu64': 'swiglu'}
    options: dict[str, Any] = {
        **{'img_size': model['img_size'], 'patch_size': model['patch_size']},
        **{'ffn': kinds[model['ffn_layer']], 'layer_scale': model['layerscale']},
    }
    if meta['algorithm'] == 'dinov3':
        rotary = {'base': model['rope_base'], 'coordinates': model['rope_normalize_coords']}
        options |= {'rotary': rotary, 'num_registers': model['n_storage_tokens']}
        options |= {'mask_k_bias': model['mask_k_bias']}
        options |= {'local_cls_norm': model['untie_global_and_local_cls_norm']}
        options |= {'norm_epsilon': 1e-5 if model['norm_layer'] == 'layernormbf16' else 1e-6}
    else:
        # The files have the offset with registers too.
        options |= {'num_registers': model['num_register_tokens'], 'interpolation': 'offset'}
    rate = golden.plain(meta['options']).get('drop_path_rate', 0.0)
    return VisionTransformer(arch, drop_path_rate=rate, drop_subsets=True, **options)


def given_subsets(saved: golden.File, group: str, rate: float) -> jax.Array | None:
    """The recorded permutations of one group, cut to those that run."""
    if not rate:
        return None
    depth = saved.meta['model']['depth']
    orders = [
        [saved.arrays[f'in/drop/{block}/{branch}/{group}'] for branch in ('attn', 'ffn')]
        for block in range(depth)
    ]
    kept = max(int(len(orders[0][0]) * (1 - rate)), 1)
    return jnp.asarray(np.array(orders)[:, :, :kept])


def student(saved: golden.File) -> Callable[..., Any]:
    """The student's backbone with the file's weights: images, options -> features."""
    network = network_of(saved.meta)
    shapes = shapes_of(network, saved.meta['model']['img_size'])[1]
    width = network.size.embed_dims
    shapes = {**shapes, 'mask_token': jax.ShapeDtypeStruct((1, 1, width), 'float32')}
    state = {
        key.removeprefix('student.backbone.').replace('storage_tokens', 'register_tokens'): value
        for key, value in saved.state().items()
        if key.startswith('student.backbone.') and not key.endswith(('.periods', '.bias_mask'))
    }
    state['mask_token'] = state['mask_token'][None]
    params = load_tree(state, shapes, timm_name)
    apply = functools.partial(network.apply, {'params': params})
    return jax.jit(apply, static_argnames='local')


STEPS = [
    pytest.param(path, id=path.stem, marks=() if path.stem in QUICK else pytest.mark.slow)
    for path in golden.files()
    if golden.kind(path) == 'step' and golden.settings(path)['algorithm'] in ('dinov2', 'dinov3')
]


@pytest.mark.skipif(not STEPS, reason=golden.MISSING)
@pytest.mark.parametrize('path', STEPS)
def test_tokens_are_those_of_the_reference(path: Path) -> None:
    saved = golden.File(path)
    apply, inputs = student(saved), saved.inputs()
    rate = golden.plain(saved.meta['options']).get('drop_path_rate', 0.0)
    for index, group in enumerate(('global', 'local')):
        names = [f'view{number}' if index == 0 else f'local{number}' for number in (1, 2)]
        images = jnp.concatenate(
            [jnp.asarray(inputs[name]).transpose(0, 2, 3, 1) for name in names]
        )
        side = images.shape[1] // saved.meta['model']['patch_size']
        mask = jnp.asarray(inputs['masks'].reshape(-1, side, side), int) if index == 0 else None
        options = {'mask': mask, 'subsets': given_subsets(saved, group, rate)}
        local = index == 1 and saved.meta['algorithm'] == 'dinov3'
        [(patches, cls_token)] = apply(images, **options, local=local)
        check_tokens(saved, index, patches.reshape(len(images), side * side, -1), cls_token)


def check_tokens(saved: golden.File, index: int, patches: jax.Array, cls_token: jax.Array) -> None:
    """Against the pass of the student over global crops, 0, or over local ones, 1."""
    if f'out/student_tokens{index}' in saved.arrays:
        tokens = saved.arrays[f'out/student_tokens{index}']
        wanted = tokens[:, 0], tokens[:, -patches.shape[1] :]
    else:
        wanted = tuple(saved.arrays[f'out/student_tokens0.{5 * index + part}'] for part in (0, 2))
    np.testing.assert_allclose(patches, wanted[1], atol=2e-5)
    np.testing.assert_allclose(cls_token, wanted[0], atol=2e-5)
