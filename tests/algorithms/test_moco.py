import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithms import MoCo
from jssl.heads import ContrastiveHead
from jssl.layers.shuffle import shuffled
from jssl.memories.teacher import update_teacher
from jssl.networks import forward
from tests.algorithms import linear, runs, tiny_models
from tests.algorithms.tiny_models import linear as matrix
from tests.checks import assert_trees_close, refused

QUEUE = linear.unit(np.random.default_rng(1).standard_normal((12, linear.WIDTH)))
BARE = MoCo(
    tiny_models.Flatten(),
    matrix(linear.PIXELS, linear.WIDTH),
    ContrastiveHead(temperature=0.2),
    queue_len=len(QUEUE),
    feat_dim=linear.WIDTH,
    momentum=0.9,
)
GROUPED = tiny_models.tiny_moco(tiny_models.Stem(bn_group_size=4))


@pytest.mark.parametrize(('updates', 'momentum'), [(0, 0.0), (3, 0.9)])
def test_the_loss_is_that_of_a_softmax_over_key_and_queue(updates: int, momentum: float) -> None:
    slow = momentum * linear.SLOW + (1 - momentum) * linear.ONLINE
    query = linear.unit(linear.projections(linear.ONLINE)[0])
    key = linear.unit(linear.projections(slow)[1])
    logits = np.concatenate([(query * key).sum(1, keepdims=True), query @ QUEUE.T], axis=1) / 0.2
    with jax.enable_x64(True):
        state = {
            'teacher': linear.teacher(updates),
            'queue': jnp.asarray(QUEUE),
            'queue_ptr': jnp.array(6, 'int32'),
        }
        loss, (after, metrics) = linear.loss(BARE, linear.params(), state)
    expected = linear.cross_entropy(logits, np.zeros(len(logits), int))
    assert float(loss) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(after['queue'], np.concatenate([QUEUE[:6], key]), rtol=1e-9)
    assert int(after['queue_ptr']) == 0
    kernel = after['teacher']['params']['neck']['fc0']['kernel']
    np.testing.assert_allclose(kernel, slow, rtol=1e-9)
    assert float(metrics['accuracy']) == np.mean(logits.argmax(axis=1) == 0)
    assert float(metrics['queue_fill']) == min((updates + 1) * linear.IMAGES / len(QUEUE), 1)
    assert float(metrics['queue_norm']) == pytest.approx(1)


def test_an_order_is_drawn_only_where_it_matters() -> None:
    batch = runs.seen()
    assert tiny_models.tiny_moco().draw(jax.random.key(0), {}, batch) is batch
    drawn = [GROUPED.draw(jax.random.key(seed), {}, batch)['shuffle'] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    order = shuffled(jnp.arange(tiny_models.BATCH), drawn[0])
    np.testing.assert_array_equal(np.sort(order), np.arange(tiny_models.BATCH))


def test_shuffling_changes_nothing_with_statistics_of_the_whole_batch() -> None:
    algorithm, batch = tiny_models.tiny_moco(), runs.seen()
    start = jax.jit(algorithm.init)(jax.random.key(0), batch)
    run = jax.jit(algorithm.loss)
    other = GROUPED.draw(jax.random.key(1), {}, batch)
    (plain, (state, _)), (same, (same_state, _)) = run(*start, batch), run(*start, other)
    assert float(same) == pytest.approx(float(plain), rel=1e-5)
    assert_trees_close(same_state, state, atol=1e-5)


def test_shuffled_keys_have_the_statistics_of_their_groups_and_come_back_in_order() -> None:
    batch = runs.seen()
    batch = GROUPED.draw(jax.random.key(3), {}, batch)
    params, state = jax.jit(GROUPED.init)(jax.random.key(0), batch)
    teacher = jax.jit(update_teacher)(state['teacher'], params, state['batch_stats'], 0.9)
    encode = jax.jit(GROUPED.encode_keys)
    found, _ = encode(teacher, batch['views'][1], batch)
    groups = np.asarray(shuffled(jnp.arange(tiny_models.BATCH), batch['shuffle'])).reshape(-1, 4)
    whole = jax.jit(functools.partial(forward, tiny_models.tiny_moco().encoder))
    for rows in groups:
        variables: Any = (teacher['params'], teacher['batch_stats'], batch['views'][1][rows])
        np.testing.assert_allclose(found[rows], whole(*variables)[0], atol=1e-5)
    plain, _ = encode(teacher, batch['views'][1], runs.seen())
    assert np.abs(plain - found).max() > 1e-3


def test_widths_must_agree() -> None:
    with refused('model.feat_dim=16', 'model.neck.out_channels=8'):
        jax.eval_shape(tiny_models.tiny_moco(feat_dim=16).init, jax.random.key(0), runs.seen())


def test_the_queue_must_be_a_multiple_of_the_batch() -> None:
    algorithm = tiny_models.tiny_moco(queue_len=40)
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), runs.seen())
    with refused('model.queue_len=40', '16 keys', '32'):
        jax.eval_shape(algorithm.loss, *shapes, runs.seen())
