from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans

from jssl.layers.normalize import l2_normalize
from jssl.memories import kmeans as clustering
from tests import golden
from tests.checks import refused

run_kmeans = jax.jit(clustering.kmeans, static_argnames='iterations')


def blobs(count: int = 12, members: int = 50, spread: float = 0.6) -> np.ndarray:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((count, 1, 8))
    points = centres + spread * draw.standard_normal((count, members, 8))
    return points.reshape(-1, 8).astype('float32')


@golden.each('part_kmeans')
def test_labels_of_the_reference(path: Path) -> None:
    with golden.whole(path, 'pca') as saved:
        features = jnp.asarray(saved.arrays['in/features'])
        for run in saved.meta['runs']:
            arrays = saved.group(f'out/{run["tag"]}')
            start = saved.arrays[f'in/{run["tag"]}/init_index']
            assert len(start) == saved.meta['k']
            dimensions = run['pca_dim']
            whitened = clustering.whiten(features, dimensions) if dimensions > 0 else features
            points = l2_normalize(whitened)
            check_points(np.asarray(points), arrays, golden.reader(path.parent).row)
            found = run_kmeans(points, points[start], jax.random.key(0), run['iterations'])
            # A distance between unit vectors is a difference of ones: rounding is left of each.
            bounds: dict[str, Any] = {'rel': 1e-5, 'abs': 5e-7 * len(points)}
            assert float(found.inertia) == pytest.approx(run['loss'], **bounds)
            assert float(found.inertia) == pytest.approx(run['numpy_loss'], **bounds)
            # Rounding or the half that an empty cluster gets decided them, where NumPy's differ.
            if run['numpy_labels_equal'] and not run['empty_seen']:
                np.testing.assert_array_equal(found.labels, arrays['labels'])


def check_points(points: np.ndarray, arrays: dict[str, np.ndarray], row: Any) -> None:
    """What is clustered, by products: the sign of each axis of a PCA is open."""
    gram, theirs = points @ points.T, arrays['features'] @ arrays['features'].T
    np.testing.assert_allclose(gram, theirs, atol=1e-5)
    corner = arrays['gram_corner']
    np.testing.assert_allclose(gram[: len(corner), : len(corner)], corner, atol=1e-5)
    bounds = np.full(10, 1e-5 * np.sqrt(gram.size))  # of the norm and the probe: all entries add up
    assert (np.abs(row(gram) - arrays['gram_row']) < bounds).all()


def test_inertia_is_within_a_percent_of_scikit_learn_s() -> None:
    points = blobs()
    start = points[np.random.default_rng(1).permutation(len(points))[:12]]
    ours = run_kmeans(points, start, jax.random.key(0))
    theirs = KMeans(12, init=start, n_init=1, max_iter=20).fit(points)
    assert float(ours.inertia) <= 1.01 * theirs.inertia_
    distances = np.square(points[:, None] - np.asarray(ours.centroids)).sum(2)
    np.testing.assert_array_equal(ours.labels, distances.argmin(1))
    assert float(ours.inertia) == pytest.approx(distances.min(1).sum(), rel=1e-4)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = blobs()
    whole = run_kmeans(points, points[::50], jax.random.key(0))
    monkeypatch.setattr(clustering, 'CPU_ROWS', 64)
    monkeypatch.setattr(clustering, 'CACHED', 64)
    jax.clear_caches()
    parts = run_kmeans(points, points[::50], jax.random.key(0))
    np.testing.assert_array_equal(parts.labels, whole.labels)
    np.testing.assert_allclose(parts.centroids, whole.centroids, atol=1e-5)


@pytest.mark.parametrize(('allowed', 'taken'), [(2, 2), (9, 3)])
def test_rounds_end_where_nothing_moves_and_each_is_logged(
    allowed: int, taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    points = np.array([[0.0], [1.0], [10.0], [11.0]], 'float32')
    with caplog.at_level('INFO', 'jssl.memories.kmeans'):
        found = run_kmeans(points, points[:2], jax.random.key(0), iterations=allowed)
        jax.block_until_ready(found)
        jax.effects_barrier()
    np.testing.assert_array_equal(found.centroids, [[0.5], [10.5]])
    assert sorted(caplog.messages) == [f'k-means: {k} of {allowed} rounds' for k in range(taken)]


def test_no_cluster_stays_empty() -> None:
    points = blobs()
    far = np.full((6, 8), 100.0, 'float32')  # nearest to nobody
    start = np.concatenate([points[:6], far])
    found = run_kmeans(points, start, jax.random.key(0))
    sizes = np.bincount(found.labels, minlength=12)
    assert sizes.min() > 0
    best = run_kmeans(points, points[::50], jax.random.key(0))
    assert float(found.inertia) < 1.5 * float(best.inertia)


def test_an_empty_cluster_is_half_of_another_moved_by_a_thousandth() -> None:
    centroids = jnp.array([[1.0, 2.0], [5.0, 5.0], [3.0, 4.0]])
    split = clustering._split_for_empty(centroids, jnp.array([1, 0, 9]), jax.random.key(0))
    step = 1 / 1024
    np.testing.assert_allclose(split[1], [3 * (1 + step), 4 * (1 - step)])
    np.testing.assert_allclose(split[2], [3 * (1 - step), 4 * (1 + step)])
    np.testing.assert_array_equal(split[0], centroids[0])


def test_whitened_components_are_uncorrelated_and_noise_stays_small() -> None:
    features = blobs() @ np.diag([10, 5, 3, 1, 1, 1, 0, 0]).astype('float32')
    whitened = clustering.whiten(jnp.asarray(features), 8)
    gram = np.asarray(whitened.T @ whitened)
    np.testing.assert_allclose(gram[:6, :6], np.eye(6), atol=1e-4)
    assert np.abs(gram[6:]).max() < 1


def test_clusters_follow_the_key_alone() -> None:
    cluster = jax.jit(clustering.cluster, static_argnums=(1, 3))
    first, again, other = (cluster(blobs(), 12, jax.random.key(k), 4) for k in (0, 0, 1))
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).any()
    assert first.centroids.shape == (12, 4)


def test_what_cannot_be_clustered_is_refused() -> None:
    with refused('head.num_classes=9', '8 images'):
        clustering.cluster(jnp.ones((8, 2)), 9, jax.random.key(0))
    for dimensions in (0, 3):
        with refused(f'model.pca_dim={dimensions}', '2 dimensions'):
            clustering.whiten(jnp.ones((8, 2)), dimensions)
