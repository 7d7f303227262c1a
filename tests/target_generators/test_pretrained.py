"""DALL-E, CLIP and VQ-KD, read from files in their published layouts, against PyTorch."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jssl.components import build
from jssl.planning import flops
from jssl.target_generators import DALLE, VQKD, CLIPGenerator
from jssl.target_generators.frozen import generate, init_generator
from tests.checks import refused
from tests.target_generators import twins

VQKD_ARCH = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 32}
DALLE_FIELDS: dict[str, Any] = {'n_hid': 8, 'n_blk_per_group': 2, 'vocab_size': 12}


def written(folder: Path, weights: twins.Arrays, name: str = 'weights.safetensors') -> str:
    save_file(weights, folder / name)
    return str(folder / name)


def run(generator: Any, images: np.ndarray) -> Any:
    """What an algorithm gets: weights in its state, then targets."""

    @jax.jit
    def both(images: jax.Array) -> Any:
        state = init_generator(generator, jax.random.key(0), images)
        return state, generate(generator, state, images)

    state, targets = both(images)
    assert set(state) == {'target_generator'}
    return targets


def dalle_weights() -> twins.Arrays:
    return twins.golden_weights(twins.dalle_shapes(8, 2, 12))


def test_dalle_equals_pytorch(tmp_path: Path) -> None:
    weights, images = dalle_weights(), twins.images(16, 0.1)
    path = written(tmp_path, weights | {'unrelated': np.zeros(2, 'float32')})
    logits = run(DALLE(path, **DALLE_FIELDS), images)
    expected = twins.dalle(weights, twins.nchw(images), 2)
    assert logits.shape == (2, 2, 2, 12)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_dalle_has_the_published_number_of_parameters() -> None:
    images = jax.ShapeDtypeStruct((1, 112, 112, 3), 'float32')
    params = jax.eval_shape(DALLE().init, jax.random.key(0), images)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 53_786_240
    assert DALLE().num_classes == 8192


def test_tokens_of_bfloat16_images_are_computed_in_float32(tmp_path: Path) -> None:
    generator = DALLE(**DALLE_FIELDS)
    images = jnp.asarray(twins.images(8, 0.1), jnp.bfloat16)
    weights = jax.jit(lambda x: init_generator(generator, jax.random.key(0), x))(images)
    halved = jax.tree.map(lambda x: np.asarray(x).astype(jnp.bfloat16), weights)
    whole = jax.tree.map(lambda x: x.astype('float32'), halved)
    tokens = jax.jit(functools.partial(generate, generator))
    logits = tokens(halved, images)
    assert logits.dtype == jnp.float32
    np.testing.assert_array_equal(logits, tokens(whole, images.astype(jnp.float32)))


def test_a_network_has_products_as_losses_and_a_function_exact_ones() -> None:
    """The highest precision of a GPU has no tensor core: CAE's tokenizer took most of a step."""

    def kinds(generator: Any, state: Any) -> set[tuple[str, str]]:
        made = jax.make_jaxpr(functools.partial(generate, generator))(state, images)
        return set(flops.count(made, 'cuda'))

    images, generator = jnp.zeros((1, 8, 8, 3)), DALLE(**DALLE_FIELDS)
    shapes = jax.eval_shape(lambda x: init_generator(generator, jax.random.key(0), x), images)
    assert kinds(generator, shapes) == {('float32', 'high')}
    assert kinds(lambda x: x @ x.swapaxes(-1, -2), {}) == {('float32', 'highest')}


def test_clip_equals_pytorch(tmp_path: Path) -> None:
    import torch

    twin = twins.CLIP(width=16, depth=2, heads=2, out=6, patch=4, tokens=16)
    weights = {f'visual.{key}': value for key, value in twins.with_weights(twin).items()}
    weights['token_embedding.weight'] = np.zeros((3, 2), 'float32')
    images = twins.images(16)
    generator = CLIPGenerator(
        written(tmp_path, weights),
        embed_dims=16,
        num_layers=2,
        num_heads=2,
        out_channels=6,
        img_size=16,
        patch_size=4,
    )
    targets = run(generator, images)
    with torch.no_grad():
        tokens, attention = twin(twins.nchw(images))
    assert (targets.tokens.shape, targets.attention.shape) == ((2, 17, 6), (2, 17, 17))
    np.testing.assert_allclose(targets.tokens, tokens, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(targets.attention, attention, rtol=1e-4, atol=1e-5)


def test_vqkd_finds_the_code_that_pytorch_finds(tmp_path: Path) -> None:
    shapes = twins.vqkd_shapes(16, 2, 4, tokens=16, codes=20, dims=4)
    weights, images = twins.golden_weights(shapes), twins.images(16)
    extra = {'quantize.cluster_size': np.zeros(20, 'float32'), 'decoder.x': np.zeros(1, 'float32')}
    fields: dict[str, Any] = {
        'arch': VQKD_ARCH,
        'img_size': 16,
        'patch_size': 4,
        'num_embed': 20,
        'embed_dims': 4,
    }
    generator = VQKD(written(tmp_path, weights | extra), **fields)
    tokens = run(generator, images)
    cosines = twins.vqkd(weights, twins.nchw(images), heads=2, depth=2)
    best = np.sort(cosines, axis=-1)
    assert (best[..., -1] - best[..., -2]).min() > 1e-5  # no tie that rounding could decide
    assert (tokens.dtype, tokens.shape) == ('int32', (2, 4, 4))
    np.testing.assert_array_equal(np.reshape(tokens, (2, 16)), cosines.argmax(-1))
    assert generator.num_classes == 20


def test_weights_in_half_precision_are_widened(tmp_path: Path) -> None:
    halves = {key: value.astype('float16') for key, value in dalle_weights().items()}
    shapes = jax.eval_shape(DALLE(**DALLE_FIELDS).init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))[
        'params'
    ]
    params = DALLE(written(tmp_path, halves)).load(shapes)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}
    np.testing.assert_array_equal(params['blocks.input']['b'], halves['blocks.input.b'])


@pytest.mark.parametrize('kind', [DALLE, CLIPGenerator, VQKD])
def test_a_missing_file_names_where_it_is_published_and_the_command(kind: Any) -> None:
    published = kind.published.rpartition('/')[2]
    command = f'jssl import {published} no/such.safetensors'
    with refused("target_generator.weights='no/such.pth'", kind.published, command):
        kind('no/such.pth').load({})


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, dalle_weights())
    narrow = DALLE(path, n_hid=4, n_blk_per_group=2, vocab_size=12)
    with refused('target_generator.weights', 'blocks.', 'widths differ'):
        jax.eval_shape(
            lambda x: init_generator(narrow, jax.random.key(0), x), np.zeros((1, 8, 8, 3))
        )
    deep = DALLE(path, **(DALLE_FIELDS | {'n_blk_per_group': 3}))
    with refused('target_generator.weights', 'block_3', 'another model'):
        jax.eval_shape(lambda x: init_generator(deep, jax.random.key(0), x), np.zeros((1, 8, 8, 3)))


def test_a_pure_function_has_no_weights_and_gives_no_gradient() -> None:
    double = lambda images: 2 * images  # noqa: E731
    images = jnp.ones((1, 2, 2, 3))
    assert init_generator(double, jax.random.key(0), images) == {}
    gradient = jax.grad(lambda x: jnp.sum(generate(double, {}, x)))(images)
    assert not gradient.any()


def test_a_config_names_them() -> None:
    assert build('target_generator', {'type': 'DALLE', **DALLE_FIELDS}) == DALLE(**DALLE_FIELDS)
    assert build('target_generator', {'type': 'CLIPGenerator', 'num_layers': 2}).num_layers == 2
    assert build('target_generator', {'type': 'VQKD', 'arch': VQKD_ARCH}).arch == VQKD_ARCH
