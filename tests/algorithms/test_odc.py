import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import State
from jssl.heads import ClsHead
from jssl.memories import odc as memories
from tests import golden, parity
from tests.algorithms.runs import RUN, begin, check_predictions, seen
from tests.algorithms.tiny_models import IMAGES, STEM, tiny_odc
from tests.checks import assert_trees_close, refused

ODC = tiny_odc(run=RUN)
follow = jax.jit(ODC.after_step)
FIRST, SECOND = jnp.array(0), jnp.array(1)  # numbers of steps


@functools.cache
def taken() -> tuple[Any, Any, Any]:
    """The state after the first clustering, a batch, and what the loss gives."""
    start = begin(ODC)
    batch = ODC.draw(jax.random.key(3), start.state, seen(copies=1))
    return start, batch, jax.jit(ODC.loss)(start.params, start.state, batch)


def with_labels(state: State, labels: jax.Array) -> State:
    return {**state, 'memory': {**state['memory'], 'labels': labels}}


@golden.each('step', of=lambda meta: meta['model'].get('type') == 'ODC')
def test_the_memory_after_a_step_is_the_reference_s(path: Path) -> None:
    saved = golden.File(path)
    algorithm = parity.algorithm(saved)
    batch = parity.batch(saved, saved.inputs(), 'float32')
    _, state = parity.start(saved, algorithm, batch, 'float32')
    memory = memories.Memory(**state['memory'])
    features = jnp.asarray(saved.arrays['out/proj0'])
    momentum = saved.meta['model']['memory_bank']['momentum']
    after, changed = memories.update_samples(memory, batch['index'], features, momentum)
    assert float(changed) == pytest.approx(saved.meta['losses']['change_ratio'])
    np.testing.assert_allclose(after.bank, saved.arrays['out/feature_bank_after'], atol=1e-6)
    np.testing.assert_array_equal(after.labels, saved.arrays['out/label_bank_after'])


def test_refresh_fills_the_memory_and_draws_a_new_head() -> None:
    start, _, _ = taken()
    features = jax.random.normal(jax.random.key(1), (IMAGES, 8))
    params, state = jax.jit(ODC.refresh)(start.params, start.state, features, jax.random.key(4))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    bank, labels, centroids = memories.Memory(**state['memory'])
    np.testing.assert_allclose(bank, unit, atol=1e-5)
    for cluster, centroid in enumerate(centroids):
        np.testing.assert_allclose(centroid, bank[labels == cluster].mean(0), atol=1e-5)
    assert (np.bincount(labels, minlength=6) > 0).all()
    np.testing.assert_array_equal(ODC.cluster_labels(state), labels)
    np.testing.assert_allclose(state['loss_weight'], memories.class_weights(labels, 6))
    assert (params['head']['fc_cls']['kernel'] != start.params['head']['fc_cls']['kernel']).all()
    assert params['backbone'] is not None
    assert [ODC.refreshes(epoch) for epoch in range(3)] == [True, False, False]


def test_predictions_are_in_eval_mode() -> None:
    start, batch, _ = taken()
    check_predictions(ODC, start, batch['views'], classes=6)


def test_projections_in_eval_mode_are_what_is_clustered() -> None:
    start, batch, _ = taken()
    given = jax.jit(ODC.refresh_feat)(start.params, start.state, batch['views'][0])
    variables = {'params': start.params, 'batch_stats': start.state['batch_stats']}
    projections, _ = ODC.network.apply(variables, batch['views'][0], train=False)
    np.testing.assert_allclose(given, projections, atol=1e-6)


def test_the_loss_takes_the_labels_from_before() -> None:
    start, batch, (loss, (after, metrics)) = taken()
    variables = {'params': start.params, 'batch_stats': start.state['batch_stats']}
    keep = batch['dropout_keep']
    (_, logits), _ = ODC.network.apply(variables, batch['views'][0], keep, mutable=['batch_stats'])
    labels = start.state['memory']['labels'][batch['index']]
    each = -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]
    assert float(loss) == pytest.approx(float(each.mean()), rel=1e-5)  # the first one: no weights
    later = {**batch, 'step': SECOND}
    weights = start.state['loss_weight'][labels]
    weighted, _ = jax.jit(ODC.loss)(start.params, start.state, later)
    assert float(weighted) == pytest.approx(float((weights * each).mean()), rel=1e-5)
    even = dataclasses.replace(ODC, normalize_weights=True)
    scaled, _ = jax.jit(even.loss)(start.params, start.state, later)
    assert float(scaled) == pytest.approx(float(weighted) / float(weights.mean()), rel=1e-5)
    moved = after['memory']['labels']
    changed = np.mean(moved[batch['index']] != labels)
    assert float(metrics['change_ratio']) == pytest.approx(changed)
    sizes = np.bincount(moved, minlength=6)
    assert (int(metrics['cluster_min']), int(metrics['cluster_max'])) == (sizes.min(), sizes.max())
    assert int(metrics['cluster_empty']) == (sizes == 0).sum()


def test_centroids_follow_every_so_many_steps_and_weights_every_step() -> None:
    start, _, _ = taken()
    begun = with_labels(start.state, jnp.arange(IMAGES, dtype='int32') % 6)
    params, first = follow(start.params, begun, FIRST)
    np.testing.assert_array_equal(first['memory']['centroids'], begun['memory']['centroids'])
    np.testing.assert_allclose(first['loss_weight'], 1 / 6, rtol=1e-6)
    _, second = follow(params, first, SECOND)
    mean = first['memory']['bank'][::6].mean(0)
    np.testing.assert_allclose(second['memory']['centroids'][0], mean, atol=1e-6)


def test_small_clusters_are_refilled_after_every_step() -> None:
    start, _, _ = taken()
    labels = jnp.where(jnp.arange(IMAGES) < 2, 5, jnp.arange(IMAGES) % 3).astype('int32')
    _, after = follow(start.params, with_labels(start.state, labels), FIRST)
    assert np.bincount(after['memory']['labels'], minlength=6).min() > 0


def test_nothing_follows_a_step_where_all_is_switched_off() -> None:
    start, _, _ = taken()
    still = dataclasses.replace(ODC, centroid_interval=0, small_cluster_interval=0, reweight=False)
    before = with_labels(start.state, jnp.zeros(IMAGES, 'int32'))
    _, after = still.after_step(start.params, before, FIRST)
    assert_trees_close(after, before, rtol=0, atol=0)


def test_what_cannot_be_is_refused() -> None:
    start, batch, _ = taken()
    with refused('ODC needs one view'):
        ODC.loss(start.params, start.state, {**batch, 'views': batch['views'] * 2})
    with refused('head.num_classes=5', 'memory_bank.num_classes=6'):
        dataclasses.replace(ODC, head=ClsHead(8, 5))
    with refused('ODC depends on', 'run=jssl.Run(samples='):
        tiny_odc(STEM).init(jax.random.key(0), batch)
    few = dataclasses.replace(RUN, samples=20)
    with refused('num_classes=6', 'min_cluster=4', '24 images', 'there are 20'):
        tiny_odc(run=few)
