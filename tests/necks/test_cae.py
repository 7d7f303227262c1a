from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.position_embedding import sincos_positions
from jssl.necks import CAENeck
from jssl.necks.cae import RegressorBlock
from tests.checks import applied, assert_trees_close, matrix, refused, well_scaled

GOLDEN = """
0.50259087 0.97402729 -0.55849792 -1.57184432
1.12544109 0.90859302 -0.94148284 -1.48776378
1.71022691 0.59467945 -1.41731064 -1.23714721
"""
ORDER = (
    *('gamma_1_cross', 'gamma_2_cross'),
    *(f'norm1_{part}_cross.{leaf}' for part in 'qkv' for leaf in ('scale', 'bias')),
    *('norm2_cross.scale', 'norm2_cross.bias', 'cross_attn.q_bias', 'cross_attn.v_bias'),
    *(f'cross_attn.{part}.kernel' for part in 'qkv'),
    *('cross_attn.proj.kernel', 'cross_attn.proj.bias'),
    *(f'ffn|layers.{layer}|{leaf}' for layer in ('0.0', '1') for leaf in ('kernel', 'bias')),
)
NECK = CAENeck(
    num_classes=5,
    embed_dims=8,
    regressor_depth=2,
    decoder_depth=1,
    num_heads=2,
    mlp_ratio=2,
    mask_tokens_num=5,
)
IDS = jnp.array([[0, 1, 2, 3], [4, 6, 7, 8]]), jnp.array([[4, 5, 6, 7, 8], [0, 1, 2, 3, 5]])
LATENT = jax.random.normal(jax.random.key(0), (2, 5, 8))


def golden_parameters(shapes: Any) -> dict[str, Any]:
    """The values that section 11 gives to the 21 parameters, in its order."""
    params: dict[str, Any] = {}
    for k, name in enumerate(ORDER):
        *modules, leaf = name.split('|') if '|' in name else name.split('.')
        shape, part = shapes, params
        for module in modules:
            shape, part = shape[module], part.setdefault(module, {})
        size = shape[leaf].shape
        if leaf == 'kernel':
            part[leaf] = jnp.asarray(matrix(size[1], size[0], 0.1 * k).T)
        else:
            middle = 0.1 if leaf.startswith('gamma') else float(leaf == 'scale')
            part[leaf] = jnp.asarray(middle + 0.1 * np.sin(np.arange(size[0]) + 0.1 * k))
    return params


def test_a_layer_of_the_regressor_is_the_reference_s() -> None:
    """ALGORITHMS section 11, the table at the end."""
    with jax.enable_x64(True):
        shifts = ((3, 0.2), (5, 0.4), (3, 0.6), (5, 0.8))
        inputs = [jnp.asarray(matrix(rows, 4, shift))[None] for rows, shift in shifts]
        block = RegressorBlock(num_heads=2, feedforward_channels=8)
        shapes = jax.eval_shape(block.init, jax.random.key(0), *inputs)['params']
        out = jax.jit(block.apply)({'params': golden_parameters(shapes)}, *inputs)
    expected = np.array(GOLDEN.split(), float).reshape(1, 3, 4)
    np.testing.assert_allclose(out, expected, atol=2e-8)


def params_of(neck: CAENeck) -> Any:
    return well_scaled(jax.eval_shape(neck.init, jax.random.key(0), LATENT, *IDS))


APPLY = jax.jit(NECK.apply)


def test_the_class_token_is_not_looked_at() -> None:
    params = params_of(NECK)
    logits, latents = APPLY(params, LATENT, *IDS)
    assert (logits.shape, latents.shape) == ((2, 5, 5), (2, 5, 8))
    other = APPLY(params, LATENT.at[:, 0].set(9), *IDS)
    assert_trees_close(other, (logits, latents), atol=0)
    moved = APPLY(params, LATENT.at[:, 1].set(9), *IDS)
    assert not np.allclose(moved[1], latents, atol=1e-3)


def test_predictions_follow_the_order_of_the_patches() -> None:
    """Positions come with the numbers of the patches, and nothing else tells them apart."""
    params = params_of(NECK)
    order = jnp.array([3, 1, 0, 2])
    swap = jnp.array([4, 2, 0, 1, 3])
    expected = [part[:, swap] for part in APPLY(params, LATENT, *IDS)]
    shuffled = jnp.concatenate([LATENT[:, :1], LATENT[:, 1:][:, order]], axis=1)
    found = APPLY(params, shuffled, IDS[0][:, order], IDS[1][:, swap])
    assert_trees_close(list(found), expected, atol=1e-5)


def test_without_layers_the_tokens_are_told_by_the_position_alone() -> None:
    neck = NECK.clone(regressor_depth=0, decoder_depth=0)
    params = params_of(neck)['params']
    logits, latents = applied(neck, {'params': params}, LATENT, *IDS)
    np.testing.assert_allclose(latents[0], jnp.broadcast_to(latents[0, 0], (5, 8)), atol=1e-6)
    table = sincos_positions(3, 8, cls_token=False)[0]
    hidden = latents + table[IDS[1]]
    hidden = (hidden - hidden.mean(-1, keepdims=True)) / hidden.std(-1, keepdims=True)
    hidden = hidden * params['norm_decoder']['scale'] + params['norm_decoder']['bias']
    expected = hidden @ params['head']['kernel'] + params['head']['bias']
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_remat_changes_no_number() -> None:
    shallow = NECK.clone(regressor_depth=1)
    params = params_of(shallow)

    def gradients(neck: CAENeck) -> Any:
        def total(params: Any) -> jax.Array:
            first, second = applied(neck, params, LATENT, *IDS)
            return jnp.sum(jnp.sin(first)) + jnp.sum(jnp.sin(second))

        return jax.jit(jax.grad(total))(params)

    plain, again = gradients(shallow), gradients(shallow.clone(remat=True))
    assert_trees_close(again, plain, rtol=1e-4, atol=1e-5)


def test_the_published_neck_has_its_number_of_parameters() -> None:
    shapes = [jax.ShapeDtypeStruct((1, n), 'int32') for n in (121, 75)]
    latent = jax.ShapeDtypeStruct((1, 122, 768), 'float32')
    params = jax.eval_shape(CAENeck().init, jax.random.key(0), latent, *shapes)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 63_027_968


@pytest.mark.parametrize('field', ['num_classes', 'mask_tokens_num'])
def test_nothing_to_predict_is_refused(field: str) -> None:
    fields: dict[str, Any] = {field: 0}
    with refused(f'CAENeck.{field}=0', 'at least 1'):
        CAENeck(**fields)


def test_another_width_is_refused_with_the_right_one() -> None:
    with refused('neck.embed_dims=768', 'set config.model.neck.embed_dims=8'):
        jax.eval_shape(CAENeck().init, jax.random.key(0), LATENT, *IDS)
