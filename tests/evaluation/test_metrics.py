"""Metrics of a user's own beside those of the house."""

from typing import Any

import numpy as np
import pytest

from jssl.evaluation import KNN, Extracted, Linear, measure
from tests.checks import refused

RNG = np.random.default_rng(0)
LABELS = np.arange(24) % 2
TRAIN = Extracted(RNG.normal(size=(24, 3)).astype('float32') + 4 * LABELS[:, None], LABELS)
TEST = Extracted(TRAIN.features[:8] + 0.01, LABELS[:8])


def width(train: Extracted | None, test: Extracted) -> dict[str, float]:
    learned = 0 if train is None or train.labels is None else len(train.labels)
    return {'width': test.features.shape[1], 'learned': learned}


def test_what_all_give_is_put_together() -> None:
    found = measure([KNN(k=3), Linear(), width], TRAIN, TEST, known={'rankme': 2.0})
    assert found == {'rankme': 2.0, 'knn': 1.0, 'linear': 1.0, 'width': 3.0, 'learned': 24.0}


def test_fewer_images_than_neighbours_all_vote() -> None:
    assert measure([KNN(k=50)], TRAIN, TEST) == measure([KNN(k=24)], TRAIN, TEST)


def test_the_best_five_of_more_classes_are_counted_too() -> None:
    train = TRAIN._replace(labels=np.arange(24) % 6)
    found = measure([KNN(k=24)], train, TEST._replace(labels=np.arange(8) % 6))
    assert found.keys() == {'knn', 'knn_top5'}
    assert found['knn'] <= found['knn_top5']


@pytest.mark.parametrize('train', [None, TRAIN._replace(labels=None)])
def test_without_labels_only_what_needs_none_is_measured(train: Extracted | None) -> None:
    assert measure([KNN(), Linear()], train, TEST) == {}
    assert measure([KNN(), width], None, TEST._replace(labels=None))['learned'] == 0


def broken(train: object, test: object) -> None:
    raise ZeroDivisionError('nobody thought')


@pytest.mark.parametrize(
    ('metric', 'words'),
    [
        (broken, r'broken fails: ZeroDivisionError: nobody thought (test_metrics.py'),
        (lambda train, test: 0.5, 'numbers by name'),
        (lambda train, test: {'x': 'much'}, 'numbers by name'),
        (lambda train, test: {'knn': 0.5}, "gives 'knn', which is taken"),
    ],
)
def test_a_metric_that_gives_no_numbers_is_named(metric: Any, words: str) -> None:
    with refused('The metric ', words):
        measure([KNN(), metric], TRAIN, TEST)
