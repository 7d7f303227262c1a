import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from jssl.visualization.embedding import choose_queries, nearest, principal_plane, project


@pytest.fixture(scope='module')
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return data.data[:200], data.target[:200]


def test_project_keeps_classes_together(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = digits
    points = project(features)
    assert points.shape == (200, 2)
    neighbour = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)[1][:, 1]
    assert np.mean(labels[neighbour] == labels) > 0.8  # 0.1 by chance


def test_project_is_deterministic_and_ignores_length(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features = digits[0][:60]
    scaled = features * np.random.default_rng(0).uniform(1, 9, (60, 1)).round()
    points = project(features)
    np.testing.assert_array_equal(points, project(features))
    np.testing.assert_allclose(project(scaled), points, rtol=0.2, atol=1)


@pytest.mark.parametrize(
    'features', [np.ones((50, 4)), np.zeros((50, 4)), np.eye(4), np.ones((1, 1))]
)
def test_project_survives_what_has_no_structure(features: np.ndarray) -> None:
    points = project(features)
    assert points.shape == (len(features), 2)
    assert np.isfinite(points).all()


def test_principal_plane_matches_scikit_learn(digits: tuple[np.ndarray, np.ndarray]) -> None:
    ours, reference = principal_plane(digits[0]), PCA(2).fit_transform(digits[0])
    np.testing.assert_allclose(np.abs(ours), np.abs(reference), rtol=1e-4, atol=1e-6)


def test_principal_plane_of_one_dimension() -> None:
    line = principal_plane(np.arange(5.0)[:, None])
    np.testing.assert_allclose(np.abs(line), [[2, 0], [1, 0], [0, 0], [1, 0], [2, 0]], atol=1e-12)


def test_nearest_matches_scikit_learn(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features, queries = digits[0], np.array([5, 0, 199])
    search = NearestNeighbors(n_neighbors=9, metric='cosine').fit(features)
    expected = search.kneighbors(features[queries])[1][:, 1:]  # the first is the image itself
    np.testing.assert_array_equal(nearest(features[queries], features, 8, own=queries), expected)


def test_nearest_never_returns_the_query() -> None:
    features = np.ones((4, 3))
    assert nearest(features[2:3], features, 8, own=np.array([2])).tolist() == [[0, 1, 3]]


def test_queries_cover_the_classes(digits: tuple[np.ndarray, np.ndarray]) -> None:
    labels = digits[1]
    assert sorted(labels[choose_queries(200, labels, 10)]) == list(range(10))
    assert choose_queries(100, None, 4).tolist() == [12, 37, 62, 87]
    assert choose_queries(3, None, 8).tolist() == [0, 1, 2]
