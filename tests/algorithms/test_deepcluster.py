import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.normalize import l2_normalize
from jssl.memories.kmeans import nearest, whiten
from jssl.memories.odc import class_weights
from tests.algorithms.runs import RUN, begin, check_predictions, seen
from tests.algorithms.tiny_models import IMAGES, tiny_deepcluster
from tests.checks import refused

DEEPCLUSTER = tiny_deepcluster(run=RUN)


@functools.cache
def taken() -> tuple[Any, Any, Any]:
    """The state after the first clustering, a batch, and what the loss gives."""
    start = begin(DEEPCLUSTER)
    batch = DEEPCLUSTER.draw(jax.random.key(3), start.state, seen(copies=1))
    return start, batch, jax.jit(DEEPCLUSTER.loss)(start.params, start.state, batch)


def test_labels_are_the_nearest_of_k_whitened_centroids() -> None:
    start, _, _ = taken()
    features = jax.random.normal(jax.random.key(1), (IMAGES, 8))
    params, state = jax.jit(DEEPCLUSTER.refresh)(
        start.params, start.state, features, jax.random.key(4)
    )
    points, labels = l2_normalize(whiten(features, 4)), state['labels']
    means = jnp.stack([points[labels == cluster].mean(0) for cluster in range(6)])
    np.testing.assert_array_equal(nearest(points, means)[0], labels)
    np.testing.assert_allclose(state['loss_weight'], 1 / 6)
    assert params['backbone']['conv1']['kernel'].shape == (3, 3, 3, 8)
    fresh, old = (tree['head']['fc_cls']['kernel'] for tree in (params, start.params))
    assert (fresh != old).all()
    assert 0.3 < fresh.std() < 0.7  # as its init_std of 0.5 says
    assert not params['head']['fc_cls']['bias'].any()


def test_weights_can_follow_the_sizes() -> None:
    start, _, _ = taken()
    algorithm = dataclasses.replace(DEEPCLUSTER, reweight=True, pca_dim=None)
    features = jax.random.normal(jax.random.key(1), (IMAGES, 8))
    _, state = jax.jit(algorithm.refresh)(start.params, start.state, features, jax.random.key(4))
    np.testing.assert_allclose(state['loss_weight'], class_weights(state['labels'], 6), rtol=1e-6)


def test_the_loss_is_the_cross_entropy_of_the_clusters() -> None:
    start, batch, (loss, (_, metrics)) = taken()
    labels = start.state['labels'][batch['index']]
    np.testing.assert_array_equal(batch['target'], labels)
    variables = {'params': start.params, 'batch_stats': start.state['batch_stats']}
    logits, _ = DEEPCLUSTER.network.apply(variables, batch['views'][0], mutable=['batch_stats'])
    each = -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]
    assert float(loss) == pytest.approx(float(each.mean()) / 6, rel=1e-5)
    assert float(metrics['accuracy']) == pytest.approx(np.mean(logits.argmax(1) == labels))
    sizes = np.bincount(start.state['labels'], minlength=6)
    assert (int(metrics['cluster_min']), int(metrics['cluster_max'])) == (sizes.min(), sizes.max())
    whole = dataclasses.replace(DEEPCLUSTER, normalize_weights=True)
    scaled, _ = jax.jit(whole.loss)(start.params, start.state, batch)
    assert float(scaled) == pytest.approx(float(each.mean()), rel=1e-5)


def test_predictions_are_in_eval_mode() -> None:
    start, batch, _ = taken()
    check_predictions(DEEPCLUSTER, start, batch['views'], classes=6)


def test_clusters_are_made_every_so_many_epochs() -> None:
    seldom = dataclasses.replace(DEEPCLUSTER, refresh_every=3)
    assert [seldom.refreshes(epoch) for epoch in range(5)] == [True, False, False, True, False]
    assert all(DEEPCLUSTER.refreshes(epoch) for epoch in range(3))


def test_what_cannot_be_is_refused() -> None:
    start, batch, _ = taken()
    with refused('DeepCluster needs one view'):
        DEEPCLUSTER.loss(start.params, start.state, {**batch, 'views': batch['views'] * 2})
    with refused('DeepCluster.refresh_every=0', 'at least 1'):
        tiny_deepcluster(refresh_every=0)
    with refused('DeepCluster depends on', 'run=jssl.Run(samples='):
        tiny_deepcluster().init(jax.random.key(0), batch)
