import dataclasses
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.algorithm import Batch, Run, State
from jssl.algorithms import SwAV
from jssl.algorithms.swav import code_metrics
from jssl.backbones import ResNet
from jssl.heads import SwAVHead
from jssl.interop import mmselfsup
from jssl.losses import sinkhorn
from jssl.necks import SwAVNeck
from jssl.networks import by_size
from jssl.optim.optimizers import LARS, make_optimizer
from jssl.optim.schedules import Constant
from tests.algorithms.tiny_models import WIDTH, Stem, tiny_swav
from tests.checks import assert_trees_close, matrix, refused, well_scaled

IMAGES = 8
HEAD = SwAVHead(WIDTH, num_prototypes=6, epsilon=0.5, temperature=0.5, num_crops=(2, 1))
TINY = tiny_swav(head=HEAD, freeze_prototypes=2)
TRAIN = jax.jit(jax.value_and_grad(TINY.loss, has_aux=True))


def crops(seed: int = 0) -> Batch:
    """Two views of 8 pixels and one of 4."""
    draw = np.random.default_rng(seed)
    sides = (8, 8, 4)
    views = (draw.standard_normal((IMAGES, side, side, 3)) for side in sides)
    return {'views': tuple(jnp.asarray(view, 'float32') for view in views), 'step': jnp.array(0)}


def start(algorithm: SwAV = TINY) -> tuple[Any, Any]:
    return well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), crops())[0]), fresh(
        algorithm
    )


def fresh(algorithm: SwAV) -> State:
    """The state at the start, with drawn statistics."""
    state = jax.eval_shape(algorithm.init, jax.random.key(0), crops())[1]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
    return {**zeros, 'batch_stats': well_scaled(state['batch_stats'])}


class Flatten(nn.Module):
    """A backbone without parameters, to see the rest bare."""

    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        return (images.reshape(len(images), -1),)


def bare(width: int, run: Run, head: dict[str, Any], **fields: Any) -> SwAV:
    """SwAV whose images are its projections."""
    neck = SwAVNeck(width, 0, 0)
    return SwAV(Flatten(), neck, SwAVHead(width, **head), **fields, run=run)


def as_views(rows: np.ndarray, views: int) -> Batch:
    """Rows, view after view, as images of one pixel row."""
    parts = tuple(jnp.asarray(part)[:, None, None] for part in np.split(rows, views))
    return {'views': parts, 'step': jnp.array(0)}


def prototypes(rows: np.ndarray) -> Any:
    return {'head': {'loss.prototypes': {'kernel': jnp.asarray(rows.T)}}}


def queue_of(algorithm: SwAV, batch: Batch) -> State:
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), batch)[1]
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@pytest.mark.parametrize('length', [0, 4])
def test_hand_made_values(length: int) -> None:
    """With a queue of two batches, which is first used in the third step."""
    head = {'num_prototypes': 3, 'num_crops': (2, 2)}
    run = Run(samples=2, steps_per_epoch=100, epochs=1)
    algorithm = bare(4, run, head, queue_length=length, queue_start_epoch=0)
    expected = [4.066023191271393, 3.9020851379335744, 4.798251217433116, 4.529506353010983]
    with jax.enable_x64(True):
        params, loss = prototypes(matrix(3, 4, 0.8)), jax.jit(algorithm.loss)
        batches = [as_views(matrix(8, 4, 0.3 + t), 4) for t in range(4)]
        state, losses, used = queue_of(algorithm, batches[0]), [], []
        for step, batch in enumerate(batches if length else batches[:1]):
            value, (state, metrics) = loss(params, state, {**batch, 'step': jnp.array(step)})
            losses.append(float(value))
            used.append(float(metrics.get('queue_used', 0)))
        unit = algorithm.after_step(params, state, jnp.array(0))[0]['head']['loss.prototypes'][
            'kernel'
        ].T
    np.testing.assert_allclose(losses, expected[: len(losses)], rtol=1e-9)
    assert used == [0, 0, 1, 1][: len(used)]
    rows = [
        [0.47047301, 0.56612986, -0.16759486, -0.65579272],
        [0.64740257, 0.21741682, -0.53108508, -0.50154609],
        [0.60224262, -0.26129567, -0.74203520, -0.13569142],
    ]
    np.testing.assert_allclose(unit, rows, atol=1e-8)


def test_groups_of_codes_are_what_the_devices_of_the_reference_compute() -> None:
    """Each device has its own images, its own queue, and its own row sums."""
    draw = np.random.default_rng(0)
    steps = [draw.standard_normal((4, 3)) for _ in range(3)]  # scores of three batches on 2 devices
    algorithm = tiny_swav(head=HEAD.clone(sinkhorn_group_size=2))
    with jax.enable_x64(True):
        stored = jnp.asarray(np.stack(steps[:2]))
        found = algorithm._codes(jnp.asarray(steps[2]), stored)
        whole = tiny_swav(head=HEAD)._codes(jnp.asarray(steps[2]), stored)
    per_device = [np.concatenate([s[2 * d : 2 * d + 2] for s in steps]) for d in range(2)]
    q = np.stack([np.exp(rows / HEAD.epsilon) for rows in per_device])
    for _ in range(3):
        q /= q.sum(axis=1, keepdims=True)
        q /= q.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(found, q[:, -2:].reshape(4, 3), rtol=1e-9)
    with jax.enable_x64(True):
        together = sinkhorn(jnp.asarray(np.concatenate([*steps])), epsilon=HEAD.epsilon)
    np.testing.assert_allclose(whole, together[-4:], rtol=1e-9)


def test_frozen_prototypes_get_no_gradient_and_all_else_does() -> None:
    params, state = start()
    frozen, free = (TRAIN(params, state, {**crops(), 'step': jnp.array(step)}) for step in (1, 2))
    assert float(frozen[0][0]) == pytest.approx(float(free[0][0]), rel=1e-6)
    assert not frozen[1]['head']['loss.prototypes']['kernel'].any()
    assert free[1]['head']['loss.prototypes']['kernel'].any()
    for part in ('backbone', 'neck'):
        assert_trees_close(frozen[1][part], free[1][part], rtol=1e-5, atol=1e-7)


def test_frozen_prototypes_do_not_move_whatever_the_decay_and_then_do() -> None:
    """Decay and the momentum it leaves change only their length, which each step restores."""
    params, state = start()
    params, _ = TINY.after_step(params, state, jnp.array(0))
    optimizer = make_optimizer(
        LARS(lr=0.6, momentum=0.9, weight_decay=0.01), Constant(), steps_per_epoch=9, epochs=9
    )
    opt_state, moved = optimizer.init(params), []
    kernel = first = params['head']['loss.prototypes']['kernel']
    for step in range(3):
        (_, (state, _)), grads = TRAIN(params, state, {**crops(step), 'step': jnp.array(step)})
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        params, state = TINY.after_step(params, state, jnp.array(step))
        kernel = params['head']['loss.prototypes']['kernel']
        np.testing.assert_allclose(jnp.linalg.norm(kernel, axis=0), 1, rtol=1e-6)
        moved.append(float(jnp.abs(kernel - first).max()))
    assert max(moved[:2]) < 3e-7
    assert moved[2] > 1e-5


def test_the_loss_sees_only_the_direction_of_prototypes() -> None:
    params, state = start()
    kernel = params['head']['loss.prototypes']['kernel']
    other = {**params, 'head': {'loss.prototypes': {'kernel': 3 * kernel}}}
    batch = {**crops(), 'step': jnp.array(2)}
    (loss, _), grads = TRAIN(params, state, batch)
    (same, _), same_grads = TRAIN(other, state, batch)
    assert float(same) == pytest.approx(float(loss), rel=1e-6)
    # the reference's gradient: that of the unit prototypes, as if they were the parameters
    assert_trees_close(same_grads, grads, rtol=1e-4, atol=1e-6)


def test_fresh_prototypes_are_of_unit_length() -> None:
    batch = as_views(matrix(4, 4, 0.3), 2)
    params, _ = bare(4, Run(2, 3, 9), {'num_prototypes': 5}).init(jax.random.key(0), batch)
    kernel = params['head']['loss.prototypes']['kernel']
    np.testing.assert_allclose(jnp.linalg.norm(kernel, axis=0), 1, rtol=1e-6)


def test_the_order_of_images_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(IMAGES)
    shuffled = {**crops(), 'views': tuple(view[order] for view in crops()['views'])}
    (loss, (state, _)), grads = TRAIN(*start(), crops())
    (same, (same_state, _)), same_grads = TRAIN(*start(), shuffled)
    assert float(same) == pytest.approx(float(loss), rel=1e-5)
    assert_trees_close(same_grads, grads, atol=1e-5)
    assert_trees_close(same_state, state, rtol=1e-4, atol=1e-5)


def test_the_backbone_sees_each_size_by_itself_and_the_neck_all_at_once() -> None:
    (params, state), batch = start(), crops()['views']
    after = TRAIN(params, state, crops())[0][1][0]['batch_stats']
    stats, features = state['batch_stats']['backbone'], []
    for images in (jnp.concatenate(batch[:2]), batch[2]):
        variables = {'params': params['backbone'], 'batch_stats': stats}
        maps, updates = Stem().apply(variables, images, mutable=['batch_stats'])
        stats = updates['batch_stats']
        features.append(maps[0].mean(axis=(1, 2)))
    assert_trees_close(after['backbone'], stats, rtol=1e-5, atol=1e-7)
    variables = {'params': params['neck'], 'batch_stats': state['batch_stats']['neck']}
    _, updates = TINY.neck.apply(variables, (jnp.concatenate(features),), mutable=['batch_stats'])
    assert_trees_close(after['neck'], updates['batch_stats'], rtol=1e-5, atol=1e-6)


def test_copies_of_one_image_stay_together() -> None:
    first, second = (jnp.full((3, 4, 4, 1), value) for value in (1.0, 2.0))
    small = jnp.zeros((3, 2, 2, 1))
    large, other = by_size((first, second, small))
    assert (large.shape, other.shape) == ((3, 2, 4, 4, 1), (3, 1, 2, 2, 1))
    np.testing.assert_array_equal(large[:, :, 0, 0, 0], [[1, 2]] * 3)


def test_how_many_prototypes_are_used() -> None:
    evenly, alone = jnp.full((5, 4), 0.25), jnp.eye(4)[jnp.zeros(5, int)]
    assert float(code_metrics([evenly, evenly], {})['prototypes_used']) == pytest.approx(4)
    assert float(code_metrics([alone, alone], {})['prototypes_used']) == pytest.approx(1)
    assert float(code_metrics([alone, jnp.eye(4)[jnp.ones(5, int)]], {})['prototypes_used']) == 2


def test_bfloat16_compute_keeps_the_loss_in_float32() -> None:
    neck = TINY.neck.clone(dtype=jnp.bfloat16)
    algorithm = dataclasses.replace(TINY, backbone=Stem(dtype=jnp.bfloat16), neck=neck)
    loss, (state, _) = jax.jit(algorithm.loss)(*start(), crops())
    floats = {leaf.dtype for leaf in jax.tree.leaves((loss, state['batch_stats']))}
    assert floats == {jnp.dtype('float32')}
    assert float(loss) == pytest.approx(float(TRAIN(*start(), crops())[0][0]), rel=0.05)


@pytest.mark.parametrize(
    ('fields', 'parts'),
    [
        ({'queue_length': -1}, ('SwAV.queue_length=-1', 'at least 0')),
        ({'queue_start_epoch': -1}, ('SwAV.queue_start_epoch=-1',)),
        ({'freeze_prototypes': -1}, ('SwAV.freeze_prototypes=-1',)),
    ],
)
def test_bad_fields(fields: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        tiny_swav(**fields)


def test_what_does_not_fit_the_batch_is_refused() -> None:
    params, state = start()
    with refused('got 2 views', 'num_crops=(2, 1)', 'makes 3'):
        TINY.loss(params, state, {'views': crops()['views'][:2]})
    with refused('sinkhorn_group_size=3', 'batch of 8'):
        tiny_swav(head=HEAD.clone(sinkhorn_group_size=3)).loss(params, state, crops())
    with refused('SwAV depends on', 'steps_per_epoch='):
        queued = tiny_swav(head=HEAD, queue_length=8)
        jax.eval_shape(queued.loss, params, fresh(queued), crops())


def test_parameter_count_of_the_published_model() -> None:
    algorithm = SwAV(
        ResNet(depth=50, zero_init_residual=True),
        SwAVNeck(2048, 2048, 128),
        SwAVHead(128, num_crops=(2, 6)),
    )
    large, small = (jax.ShapeDtypeStruct((2, side, side, 3), 'float32') for side in (64, 32))
    init = functools.partial(algorithm.init, jax.random.key(0))
    params, _ = jax.eval_shape(init, {'views': (large, large, *[small] * 6)})
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == 28_354_752


def test_the_reference_s_model_and_hook_are_understood() -> None:
    model = {
        'type': 'mmselfsup.SwAV',
        'backbone': {'type': 'ResNet', 'depth': 50, 'in_channels': 3, 'out_indices': [4]},
        'neck': {
            'type': 'SwAVNeck',
            'in_channels': 2048,
            'hid_channels': 2048,
            'out_channels': 128,
        },
        'head': {
            'type': 'SwAVHead',
            'loss': {'type': 'SwAVLoss', 'feat_dim': 128, 'epsilon': 0.05, 'num_crops': [2, 6]},
        },
    }
    hook = {
        'type': 'SwAVHook',
        'batch_size': 32,
        'epoch_queue_starts': 15,
        'crops_for_assign': [0, 1],
        'feat_dim': 128,
        'queue_length': 3840,
        'frozen_layers_cfg': {'prototypes': 5005},
    }
    algorithm: Any = mmselfsup.build_model(model, [hook])
    assert tuple(algorithm.head.num_crops) == (2, 6)
    assert (algorithm.queue_length, algorithm.queue_start_epoch) == (3840, 15)
    assert algorithm.freeze_prototypes == 5005


def test_the_reference_saves_the_neck_s_batch_norm_twice() -> None:
    params, state = start()
    weights = mmselfsup.export_state(params, state, algorithm=TINY)
    for key in ('weight', 'bias', 'running_mean', 'running_var'):
        again = weights[f'neck.projection_neck.1.{key}']
        np.testing.assert_array_equal(again, weights[f'neck.bn.{key}'])
    assert not any('queue' in key for key in weights)
    back, _ = mmselfsup.import_state(weights, params, state, algorithm=TINY)
    assert_trees_close(back, params, rtol=0)
