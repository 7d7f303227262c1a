"""iBOT: what is hidden from the student alone, its two losses, and which weights a teacher has."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from jssl.algorithms import IBOT
from jssl.heads import IBOTHead
from jssl.losses import dino, ibot
from jssl.networks import by_size, evaluate
from tests.algorithms import runs, tiny_masked
from tests.algorithms.tiny_models import WIDTH, Stem
from tests.checks import assert_trees_close, refused, structure, well_scaled


def still(**fields: Any) -> IBOT:
    """Without drop path, in a run."""
    model = tiny_masked.tiny_ibot(**fields)
    backbone = model.backbone.clone(drop_path_rate=0.0)
    return dataclasses.replace(model, backbone=backbone, run=runs.RUN)


def shared(patch_channels: int | None) -> IBOTHead:
    return IBOTHead(WIDTH, 12, WIDTH, WIDTH, patch_channels=patch_channels)


def batch(seed: int = 0, sizes: tuple[int, ...] = (8, 8, 6), step: int = 3) -> Batch:
    draw = np.random.default_rng(seed)
    views = tuple(jnp.asarray(draw.standard_normal((4, s, s, 3)), 'float32') for s in sizes)
    return {'views': views, 'step': jnp.array(step)}


def masks(*rows: tuple[int, int]) -> jax.Array:
    """The first three patches in these views of images."""
    found = jnp.zeros((4, 2, 4, 4), bool)
    return found.at[jnp.array([i for i, _ in rows]), jnp.array([v for _, v in rows]), 0, :3].set(
        True
    )


def start(model: IBOT) -> Any:
    return well_scaled(jax.eval_shape(model.init, jax.random.key(0), batch()))


def test_the_loss_is_that_of_class_tokens_and_that_of_hidden_patches() -> None:
    model = still(class_weight=2.0, patch_weight=0.5)
    params, state = start(model)
    seen, hidden = {**batch(), 'masks': masks((0, 0), (2, 1))}, jnp.zeros((8, 16), bool)
    hidden = hidden.at[jnp.array([0, 5]), :3].set(True)  # an image's crops are neighbours
    loss, (left, metrics) = jax.jit(model.loss)(params, state, seen)
    crops, grid = by_size(seen['views']), hidden.reshape(-1, 4, 4)
    s, patches, *_ = evaluate(model.network, params, {}, crops, masks=grid)
    t, told, *_ = evaluate(model.teacher, state['teacher']['params'], {}, crops[:1])
    # The second of two epochs of warm-up: 0.07.
    p = jax.nn.softmax((t - state['center']) / 0.07)
    q = jax.nn.softmax((told - state['patch_center']) / 0.07)
    of_classes = dino(s, p)
    of_patches = ibot(patches.reshape(8, 16, -1), q.reshape(8, 16, -1), hidden)
    np.testing.assert_allclose(metrics['class_loss'], of_classes, rtol=1e-5)
    np.testing.assert_allclose(metrics['patch_loss'], of_patches, rtol=1e-5)
    np.testing.assert_allclose(loss, 2 * of_classes + 0.5 * of_patches, rtol=1e-5)
    for name, mean in (('center', t.mean(axis=(0, 1))), ('patch_center', told.mean(axis=0))):
        np.testing.assert_allclose(left[name], 0.9 * state[name] + 0.1 * mean, atol=1e-5)
    assert metrics['patch_center_norm'] == pytest.approx(
        float(jnp.linalg.norm(left['patch_center'])), rel=1e-5
    )
    assert 0 < metrics['patch_entropy'] < np.log(10)


def test_a_hidden_patch_is_the_teacher_s_alone() -> None:
    model = still()
    params, state = start(model)
    first, second = batch()['views'][:2]
    # Patch 0 of the first view of the first image.
    crops = [by_size([view, second]) for view in (first, first.at[0, :2, :2].add(1.0))]
    grid = masks((0, 0)).reshape(8, 4, 4)
    one, other = (evaluate(model.network, params, {}, seen, masks=grid) for seen in crops)
    assert_trees_close(one, other, rtol=0)
    slow = state['teacher']['params']
    told, now = (evaluate(model.teacher, slow, {}, seen)[1] for seen in crops)
    assert np.abs(told - now).max() > 1e-3


def test_the_teacher_has_no_mask_token_and_follows_in_all_else() -> None:
    model = still()
    params, state = jax.jit(model.init)(jax.random.key(0), batch())
    teacher = state['teacher']['params']
    assert params['backbone'].keys() - teacher['backbone'].keys() == {'mask_token'}
    assert structure(teacher['head']) == structure(params['head'])
    assert_trees_close(teacher['head'], params['head'], rtol=0)
    moved = jax.tree.map(lambda leaf: leaf + 1, params)
    _, after = model.after_step(moved, state, jnp.array(0))
    expected = jax.tree.map(lambda leaf: leaf + 0.1, teacher)
    assert_trees_close(after['teacher']['params'], expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_whose_head_is_shared_alone_has_the_layer_of_class_tokens() -> None:
    model = still(head=shared(12), shared_teacher_head=True)
    params, state = jax.jit(model.init)(jax.random.key(0), batch())
    head = state['teacher']['params']['head']
    assert params['head'].keys() - head.keys() == {'last_layer2'}
    np.testing.assert_array_equal(
        head['last_layer']['weight_v'], params['head']['last_layer']['weight_v']
    )
    _, after = model.after_step(params, state, jnp.array(0))
    assert structure(after) == structure(state)


def test_a_shared_head_has_one_last_layer() -> None:
    params, state = jax.eval_shape(still(head=shared(None)).init, jax.random.key(0), batch())
    assert 'last_layer2' not in params['head']
    assert state['patch_center'].shape == state['center'].shape == (12,)


def test_temperatures_rise_by_epochs_that_of_patches_from_their_first_masks_on() -> None:
    options: Any = dict(warmup_patch_temperature=0.02, mask_start_epoch=1)
    model = still(warmup_teacher_epochs=3, **options)
    state = start(model)[1]
    crops = by_size(batch()['views'][:2])
    sharp = jax.jit(lambda step: model._targets(state, crops, step)[:2])
    t, told, *_ = evaluate(model.teacher, state['teacher']['params'], {}, crops)
    logits = t - state['center'], told.reshape(8, 16, -1) - state['patch_center']
    # Epochs of three steps: the first, the last step of the first, the second, third and fourth.
    wanted = [(0, 0.04, 0.02), (2, 0.04, 0.02), (3, 0.055, 0.02), (6, 0.07, 0.045), (9, 0.07, 0.07)]
    for step, *temperatures in wanted:
        for found, x, temperature in zip(sharp(jnp.array(step)), logits, temperatures, strict=True):
            np.testing.assert_allclose(found, jax.nn.softmax(x / temperature), atol=1e-4)


@pytest.mark.parametrize('shape', ['blocks', 'patches'])
def test_masks_are_drawn_by_crop_from_their_epoch_on(shape: Any) -> None:
    model = still(mask_shape=shape, mask_ratios=(0.5,), mask_spreads=(0.0,), mask_start_epoch=1)
    draw = jax.jit(lambda key, step: model.draw(key, {}, {**batch(), 'step': step})['masks'])
    found = np.array([draw(jax.random.key(n), jnp.array(3)) for n in range(4)])
    assert found.shape == (4, 4, 2, 4, 4)
    counts = found.sum(axis=(-1, -2))
    assert counts.max() == 8
    assert (counts > 0).all()
    assert len(np.unique(found.reshape(-1, 16), axis=0)) > 8
    assert not draw(jax.random.key(0), jnp.array(2)).any()


def test_half_of_the_crops_see_everything_by_default() -> None:
    model = dataclasses.replace(still(), mask_ratios=IBOT.mask_ratios)
    large = {'views': (jnp.zeros((100, 8, 8, 3)),) * 2, 'step': jnp.array(0)}
    drawn = jax.jit(lambda key: model.draw(key, {}, large))(jax.random.key(1))
    assert 60 < drawn['masks'].any(axis=(2, 3)).sum() < 140  # 100, and 7 is the deviation
    assert 'drop_path' not in drawn
    noisy = dataclasses.replace(tiny_masked.tiny_ibot(), run=runs.RUN)
    assert 'drop_path' in noisy.draw(jax.random.key(1), {}, batch())


def test_a_collapse_is_named_with_the_fields_that_help() -> None:
    said = still().diagnose({'teacher_entropy': float(np.log(12)), 'kl': 0.0})
    assert 'Uniform collapse' in str(said)
    assert still().diagnose({'teacher_entropy': 1.0, 'kl': 0.5}) is None


def test_heads_that_do_not_go_together_are_refused() -> None:
    normed = shared(None).clone(with_bn=True)
    with refused('config.model.head.with_bn=True', 'iBOT', 'set it to False'):
        tiny_masked.tiny_ibot(head=normed)
    for model in (tiny_masked.tiny_dinov2(), tiny_masked.tiny_dinov3()):
        name = type(model).__name__
        with refused('config.model.head.with_bn=True', name):
            dataclasses.replace(model, head=normed)
        with refused('config.model.patch_head.with_bn=True', name):
            dataclasses.replace(model, patch_head=normed)
    with refused('patch_channels=10', 'out_channels=12', 'shared_teacher_head=False'):
        tiny_masked.tiny_ibot(shared_teacher_head=True)


@pytest.mark.parametrize(('field', 'value'), [('mask_start_epoch', -1), ('patch_weight', -1.0)])
def test_numbers_out_of_their_range_are_refused(field: str, value: Any) -> None:
    with refused(f'IBOT.{field}={value}', 'at least 0'):
        tiny_masked.tiny_ibot(**{field: value})


def test_backbones_without_a_class_token_are_refused() -> None:
    resnet = dataclasses.replace(still(), backbone=Stem())
    with refused('iBOT is for vision transformers', 'is Stem without', 'DINOViT'):
        resnet.init(jax.random.key(0), batch())
    average = dataclasses.replace(still(), backbone=still().backbone.clone(avg_token=True))
    with refused('iBOT looks at single tokens', 'avg_token=True', 'set it to False'):
        average.init(jax.random.key(0), batch())


def test_crops_that_are_not_square_are_refused() -> None:
    wide = {**batch(), 'views': tuple(jnp.zeros((4, 8, 12, 3)) for _ in range(2))}
    with refused('iBOT masks square global crops', '8 x 12 px', 'GlobalLocal'):
        still().draw(jax.random.key(0), {}, wide)
