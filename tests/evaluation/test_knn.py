from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl.errors import JsslError
from jssl.evaluation import knn
from jssl.evaluation.knn import knn_accuracy, knn_ranking, ranking_accuracy
from tests import golden


def waves(rows: int, dimensions: int, shift: float) -> np.ndarray:
    """The matrix that the hand-computed constants of the reference are given for."""
    i, j = np.arange(rows)[:, None], np.arange(dimensions)
    return np.sin(0.7 * i + 1.3 * j + shift)


def blobs(
    rows: int, seed: int, dimensions: int = 6, classes: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    centers = np.random.default_rng(0).normal(size=(classes, dimensions))
    return (centers[labels] + rng.normal(size=(rows, dimensions))).astype(np.float32), labels


def brute_force_scores(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    k: int,
    temperature: float,
    classes: int,
) -> np.ndarray:
    """Summed votes (M, classes) in float64, one test row at a time."""
    train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    scores = np.zeros((len(test), classes))
    for row, image in enumerate(test.astype(np.float64)):
        similarity = train.astype(np.float64) @ image
        for neighbour in np.argsort(-similarity)[:k]:
            scores[row, labels[neighbour]] += np.exp(similarity[neighbour] / temperature)
    return scores


@golden.each('part_knn')
def test_reference_file(path: Path) -> None:
    with golden.whole(path) as saved:
        data = [
            saved.arrays[f'in/{name}'] for name in ('train', 'train_labels', 'test', 'test_labels')
        ]
        assert saved.meta['results']
        for result in saved.meta['results']:
            options = {'k': result['k'], 'temperature': result['T']}
            ranking = knn_ranking(*data[:3], **options, num_classes=saved.meta['num_classes'])
            found = [100 * ranking_accuracy(ranking, data[3], top) for top in (1, 5)]
            assert found == pytest.approx([result['top1'], result['top5']])
            assert 100 * knn_accuracy(*data, **options) == pytest.approx(result['top1'])


@pytest.mark.parametrize(('k', 'top5'), [(5, 0.86), (10, 0.84)])
def test_reference_constants(k: int, top5: float) -> None:
    """Few neighbours leave classes without a vote, whose order decides the top-5 accuracy."""
    train, test = waves(30, 4, 0.1), waves(200, 4, 0.7)
    labels, test_labels = np.arange(30) % 6, np.arange(200) // 2 % 6
    assert knn_accuracy(train, labels, test, test_labels, k=k) == pytest.approx(0.17)
    assert knn_accuracy(train, labels, test, test_labels, k=k, top=5) == pytest.approx(top5)


@pytest.mark.parametrize(('k', 'temperature'), [(1, 0.07), (9, 0.07), (40, 1.0)])
def test_matches_brute_force(k: int, temperature: float) -> None:
    train, labels = blobs(60, seed=1)
    test, _ = blobs(23, seed=2)
    ranking = knn_ranking(train, labels, test, k=k, temperature=temperature, num_classes=7)
    scores = brute_force_scores(train, labels, test, k, temperature, 7)
    ranked = np.take_along_axis(scores, ranking, axis=1)
    assert ranking.shape == (23, min(5, k))
    np.testing.assert_allclose(ranked, -np.sort(-scores, axis=1)[:, : ranked.shape[1]], rtol=1e-5)


@pytest.mark.parametrize('rows', [40, 64, 171])
def test_groups_choose_what_a_search_of_all_chooses(rows: int) -> None:
    values = np.random.default_rng(rows).integers(0, 20, (50, rows)).astype('float32')
    values[:, :4] = -np.inf
    found, places = jax.jit(jax.vmap(lambda row: knn.largest(row, 3)))(values)
    first = np.argsort(-values, axis=1, kind='stable')[:, :3]  # of equal ones the first
    np.testing.assert_array_equal(places, first)
    np.testing.assert_array_equal(found, np.take_along_axis(values, first, axis=1))


def test_is_independent_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    train, labels = blobs(50, seed=1)
    test, _ = blobs(23, seed=2)
    whole = knn_ranking(train, labels, test, k=5)
    np.testing.assert_array_equal(knn_ranking(train, labels, test[:1], k=5), whole[:1])
    for chunk in (1, 4, 23):
        monkeypatch.setattr(knn, 'MAX_CHUNK', chunk)
        np.testing.assert_array_equal(knn_ranking(train, labels, test, k=5), whole)


@pytest.mark.parametrize(('train', 'test'), [(5, 3), (6000, 1000), (1_281_167, 50_000), (10**9, 9)])
def test_similarities_at_once_are_bounded(train: int, test: int) -> None:
    rows = knn.chunk_rows(train, test)
    assert 1 <= rows <= test
    assert rows == 1 or rows * train <= 2**26


def test_small_temperature_does_not_overflow() -> None:
    train, labels = blobs(50, seed=1)
    ranking = knn_ranking(train, labels, train, k=5, temperature=1e-3)
    assert ranking_accuracy(ranking, labels) == 1  # the nearest neighbour is the image itself


def test_float64_features_stay_float64() -> None:
    """Two neighbours that only float64 tells apart: single precision calls them equal."""
    train = np.array([[1.0, 0.0], [1.0, 1e-5]])
    test = np.array([[1.0, 1e-5]])
    with jax.enable_x64(True):
        assert knn_accuracy(train, np.array([0, 1]), test, np.array([1]), k=1) == 1


def test_ids_as_labels_are_counted() -> None:
    train, labels = blobs(60, seed=1)
    ids = 28_312_757 * labels + 5
    ranking = knn_ranking(train, labels, train, k=9)
    np.testing.assert_array_equal(knn_ranking(train, ids, train, k=9), 28_312_757 * ranking + 5)
    expected = knn_accuracy(train, labels, train, labels, k=9)
    assert knn_accuracy(train, ids, train, ids, k=9) == expected


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'train_labels': np.arange(60) / 2}, 'train_labels has the type float64'),
        ({'train_labels': np.arange(60) - 1}, 'train_labels goes from -1 to 58'),
        ({'k': 61}, 'k=61 .* 60 images'),
        ({'k': 0}, 'k=0'),
        ({'num_classes': 3}, 'train_labels goes from 0 to 6'),
        ({'train_labels': np.zeros(3, int)}, r'train_labels has the shape \(3,\)'),
        ({'test_features': np.zeros((4, 5))}, '6 dimensions and test_features have 5'),
        ({'test_features': np.zeros((0, 6))}, 'test_features must be a matrix'),
        ({'train_features': np.zeros((60, 2, 2, 3))}, 'pool feature maps first'),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], words: str) -> None:
    train, labels = blobs(60, seed=1)
    data = {'train_features': train, 'train_labels': labels, 'test_features': train[:4]}
    with pytest.raises(JsslError, match=words):
        knn_ranking(**{**data, **changes})


def test_test_labels_are_checked() -> None:
    train, labels = blobs(60, seed=1)
    with pytest.raises(JsslError, match='test_labels'):
        knn_accuracy(train, labels, train[:4], labels[:3])
