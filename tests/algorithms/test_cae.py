import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from jssl.algorithms import CAE
from jssl.backbones import CAEViT
from jssl.heads import CAEHead
from jssl.memories.teacher import init_teacher
from jssl.necks import CAENeck
from jssl.target_generators import DALLE, BrightnessTokenizer
from tests.checks import applied, assert_drawn_like, assert_trees_close, refused, well_scaled

ARCH = {'embed_dims': 16, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 32}
NECK = CAENeck(
    num_classes=16,
    embed_dims=16,
    regressor_depth=1,
    decoder_depth=1,
    num_heads=2,
    mlp_ratio=2,
    mask_tokens_num=6,
)
TINY = CAE(
    CAEViT(ARCH, img_size=16, patch_size=4),
    NECK,
    CAEHead(),
    BrightnessTokenizer(2, cells=2, levels=2),
    smallest_block=3,
)


def views(batch: int = 2, side: int = 16, token_side: int = 8) -> Batch:
    image, token = (
        jax.random.normal(jax.random.key(key), (batch, size, size, 3))
        for key, size in ((0, side), (1, token_side))
    )
    return {'views': (image, token)}


@functools.cache
def start() -> tuple[Any, Any]:
    """Parameters, and a teacher that differs from them."""
    params, state = jax.eval_shape(TINY.init, jax.random.key(0), views())
    assert set(state) == {'teacher'}
    params = well_scaled(params)
    backbone = jax.tree.map(lambda x: x + 0.3, params['backbone'])
    return params, {'teacher': init_teacher({'backbone': backbone})}


@functools.cache
def drawn() -> Batch:
    return jax.jit(TINY.draw)(jax.random.key(3), {}, views())


LOSS = jax.jit(TINY.loss)


def test_the_loss_is_the_sum_of_its_terms_and_the_teacher_is_the_encoder_afterwards() -> None:
    params, state = start()
    loss, (after, metrics) = LOSS(params, state, drawn())
    assert float(loss) == pytest.approx(float(metrics['main'] + metrics['align']), rel=1e-6)
    assert 0 <= float(metrics['accuracy']) <= 1
    assert_trees_close(after['teacher']['params']['backbone'], params['backbone'], atol=0)


def test_the_teacher_is_used_before_it_is_updated() -> None:
    params, state = start()
    _, (after, first) = LOSS(params, state, drawn())
    _, (_, second) = LOSS(params, after, drawn())
    assert float(first['main']) == float(second['main'])
    assert abs(float(first['align']) - float(second['align'])) > 1e-3


def test_the_latents_are_compared_with_what_the_teacher_makes_of_the_masked_patches() -> None:
    params, state = start()
    batch = drawn()
    mask = np.asarray(batch['mask']).reshape(2, -1)
    visible, masked = (jnp.array([np.flatnonzero(row == kind) for row in mask]) for kind in (0, 1))
    variables = {'params': state['teacher']['params']['backbone']}
    run = functools.partial(TINY.backbone.apply, train=False, ids_keep=masked)
    target = jax.jit(run)(variables, batch['views'][0])[:, 1:]
    network = functools.partial(TINY.network.apply, train=False)
    _, latent = jax.jit(network)({'params': params}, batch['views'][0], visible, masked)
    _, (_, metrics) = LOSS(params, state, batch)
    expected = 2 * np.mean(np.square(latent - target))
    assert float(metrics['align']) == pytest.approx(float(expected), rel=1e-4)


def test_a_momentum_keeps_a_share_of_the_teacher() -> None:
    params, state = start()
    slow = dataclasses.replace(TINY, base_momentum=0.75)
    _, (after, _) = jax.jit(slow.loss)(params, state, drawn())
    old, found = (tree['teacher']['params']['backbone'] for tree in (state, after))
    expected = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, old, params['backbone'])
    assert_trees_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_tokens_are_those_of_the_masked_patches() -> None:
    """A classifier with one answer for all is right in that answer's share below the mask."""
    params, state = start()
    batch = drawn()
    tokens = np.asarray(TINY.target_generator(batch['views'][1]))[np.asarray(batch['mask'])]
    answer = np.bincount(tokens).argmax()
    head = {'kernel': jnp.zeros((16, 16)), 'bias': 9.0 * (jnp.arange(16) == answer)}
    params = {**params, 'neck': {**params['neck'], 'head': head}}
    _, (_, metrics) = LOSS(params, state, batch)
    assert float(metrics['accuracy']) == pytest.approx(np.mean(tokens == answer))


def test_the_predicted_tokens_are_what_the_accuracy_counts() -> None:
    params, state = start()
    tokens = jax.jit(TINY.predict)(params, state, drawn())
    assert (tokens.shape, tokens.dtype) == ((2, 6), jnp.int32)
    mask = np.asarray(drawn()['mask']).reshape(2, 16)
    truth = np.asarray(TINY.target_generator(drawn()['views'][1])).reshape(2, 16)
    right = np.asarray(tokens) == truth[mask].reshape(2, 6)
    _, (_, metrics) = LOSS(params, state, drawn())
    assert right.mean() == pytest.approx(float(metrics['accuracy']))


def test_every_image_has_a_mask_of_its_own_with_the_same_count() -> None:
    mask = np.asarray(jax.jit(TINY.draw)(jax.random.key(0), {}, views(8))['mask'])
    assert mask.shape == (8, 4, 4)
    assert (mask.sum((1, 2)) == 6).all()
    assert len({row.tobytes() for row in mask}) > 1
    other = np.asarray(jax.jit(TINY.draw)(jax.random.key(1), {}, views(8))['mask'])
    assert (other != mask).any()


def test_features_are_the_mean_of_the_patches() -> None:
    params, state = start()
    images = views()['views'][0]
    features = jax.jit(TINY.extract_feat)(params, state, images)
    variables = {'params': params['backbone']}
    patches, _ = applied(TINY.backbone, variables, images, train=False)[-1]
    np.testing.assert_allclose(features, patches.mean((1, 2)), atol=1e-5)


def test_bfloat16_compute_keeps_the_loss_in_float32() -> None:
    fast = dataclasses.replace(
        TINY,
        backbone=TINY.backbone.clone(dtype=jnp.bfloat16),
        neck=NECK.clone(dtype=jnp.bfloat16),
    )
    loss, (state, _) = jax.jit(fast.loss)(*start(), drawn())
    kept = state['teacher']['params']
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, kept))} == {jnp.dtype('float32')}
    assert float(loss) == pytest.approx(float(LOSS(*start(), drawn())[0]), rel=0.05)


def test_the_weights_of_a_tokenizer_are_state() -> None:
    tokenizer = DALLE(n_hid=8, n_blk_per_group=1, vocab_size=16)
    algorithm = dataclasses.replace(TINY, target_generator=tokenizer)
    batch = views(token_side=32)
    params, state = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
    assert set(state) == {'teacher', 'target_generator'}
    masked = {**batch, 'mask': jnp.zeros((2, 4, 4), bool)}
    _, (after, _) = jax.eval_shape(algorithm.loss, params, state, masked)
    assert after == state


def test_fresh_parameters_are_drawn_as_in_the_reference() -> None:
    arch = {'embed_dims': 128, 'num_layers': 1, 'num_heads': 4, 'feedforward_channels': 512}
    neck: dict[str, Any] = {
        'embed_dims': 128,
        'regressor_depth': 1,
        'decoder_depth': 1,
        'num_heads': 4,
    }
    algorithm = dataclasses.replace(
        TINY,
        backbone=CAEViT(arch, img_size=64),
        neck=CAENeck(num_classes=512, mask_tokens_num=6, **neck),
        target_generator=lambda images: images,
    )
    params, state = jax.jit(algorithm.init)(jax.random.key(0), views(1, 64))
    assert_trees_close(state['teacher']['params']['backbone'], params['backbone'], atol=0)
    assert_drawn_like(params, 'cae')


def test_other_views_are_refused() -> None:
    with refused('got 1', 'ImageAndTokens'):
        TINY.draw(jax.random.key(0), {}, {'views': views()['views'][:1]})
    with refused('8 x 16 px', 'config.views'):
        images = jnp.zeros((2, 8, 16, 3))
        TINY.draw(jax.random.key(0), {}, {'views': (images, images)})
    with refused('neck.mask_tokens_num=6', '4 patches'):
        TINY.draw(jax.random.key(0), {}, views(side=8))
    with refused('8 x 8 tokens', '16 patches'):
        jax.eval_shape(TINY.loss, *start(), {**drawn(), **views(token_side=16)})


@pytest.mark.parametrize(
    ('fields', 'parts'),
    [
        ({'base_momentum': 1.5}, ('CAE.base_momentum=1.5',)),
        ({'target_generator': DALLE()}, ('neck.num_classes=16', '8192')),
    ],
)
def test_bad_fields(fields: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        dataclasses.replace(TINY, **fields)
