from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.transformer import (
    FeedForward,
    PatchEmbedding,
    PatchProjection,
    TransformerBlock,
)
from tests.checks import applied, refused, well_scaled

TOKENS = jax.random.normal(jax.random.key(1), (3, 5, 8))


def filled(module: nn.Module, x: jax.Array) -> Any:
    return well_scaled(jax.eval_shape(module.init, jax.random.key(0), x))


def test_a_patch_projection_is_the_convolution_whose_kernel_it_holds() -> None:
    images = jax.random.normal(jax.random.key(1), (2, 8, 12, 3))
    projection = PatchProjection(5, 4, kernel_init=nn.initializers.lecun_normal())
    variables = filled(projection, images)
    kernel = variables['params']['kernel']
    assert kernel.shape == (4, 4, 3, 5)
    layout = ('NHWC', 'HWIO', 'NHWC')
    conv = jax.lax.conv_general_dilated(images, kernel, (4, 4), 'VALID', dimension_numbers=layout)
    expected = conv + variables['params']['bias']
    np.testing.assert_allclose(applied(projection, variables, images), expected, atol=1e-5)


def test_images_that_do_not_divide_into_patches_are_refused() -> None:
    with refused('30 x 32', 'patch_size=16'):
        PatchEmbedding(8, 16).init(jax.random.key(0), jnp.zeros((1, 30, 32, 3)))


def test_a_patch_embedding_ends_in_a_norm_where_asked() -> None:
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    embedding = PatchEmbedding(6, 4, norm=True)
    variables = jax.jit(embedding.init)(jax.random.key(0), images)
    assert set(variables['params']) == {'projection', 'norm'}
    tokens = np.asarray(embedding.apply(variables, images))
    np.testing.assert_allclose(tokens.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(tokens.std(-1), 1, atol=1e-3)


def test_the_feed_forward_network_uses_the_exact_gelu() -> None:
    torch = pytest.importorskip('torch')
    module = FeedForward(16, kernel_init=nn.initializers.lecun_normal())
    variables = filled(module, TOKENS)
    first, second = variables['params']['layers.0.0'], variables['params']['layers.1']
    hidden = torch.from_numpy(np.array(TOKENS @ first['kernel'] + first['bias']))
    expected = jnp.asarray(torch.nn.functional.gelu(hidden).numpy()) @ second['kernel']
    np.testing.assert_allclose(
        applied(module, variables, TOKENS), expected + second['bias'], atol=1e-6
    )


def test_layer_scale_multiplies_both_branches() -> None:
    plain = TransformerBlock(2, 16)
    scaled = TransformerBlock(2, 16, layer_scale=0.1)
    params = filled(scaled, TOKENS)['params']
    assert params['gamma_1'].shape == params['gamma_2'].shape == (8,)
    fresh = jax.jit(scaled.init)(jax.random.key(0), TOKENS)['params']
    assert (fresh['gamma_1'] == 0.1).all()
    assert (fresh['gamma_2'] == 0.1).all()
    zero = {**params, 'gamma_1': jnp.zeros(8), 'gamma_2': jnp.zeros(8)}
    np.testing.assert_array_equal(applied(scaled, {'params': zero}, TOKENS), TOKENS)
    one = {**params, 'gamma_1': jnp.ones(8), 'gamma_2': jnp.ones(8)}
    rest = {key: value for key, value in params.items() if 'gamma' not in key}
    np.testing.assert_allclose(
        applied(scaled, {'params': one}, TOKENS),
        applied(plain, {'params': rest}, TOKENS),
        atol=1e-6,
    )


def test_a_block_whose_branches_are_dropped_is_the_identity() -> None:
    block = TransformerBlock(2, 16)
    variables = filled(block, TOKENS)
    rngs = {'drop_path': jax.random.key(0)}
    np.testing.assert_array_equal(applied(block, variables, TOKENS, 0.999999, rngs=rngs), TOKENS)
    np.testing.assert_allclose(
        applied(block, variables, TOKENS, 0.0, rngs=rngs),
        applied(block, variables, TOKENS),
        atol=1e-6,
    )


def test_bfloat16_compute_leaves_parameters_in_float32() -> None:
    block = TransformerBlock(2, 16, layer_scale=0.1, qkv_bias=False, dtype=jnp.bfloat16)
    x = TOKENS.astype('bfloat16')
    out, variables = jax.eval_shape(lambda: block.init_with_output(jax.random.key(0), x))
    assert out.dtype == 'bfloat16'
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
