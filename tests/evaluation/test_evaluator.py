import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jssl.algorithm import Algorithm, Params, State
from jssl.augment.views import CenterView
from jssl.data import Arrays, resident
from jssl.errors import JsslError
from jssl.evaluation import KNN, ArrayBatches, Evaluator, Linear, knn_accuracy, linear_accuracy

VIEW = CenterView(size=8, resize=8, mean=(0.0, 0.0, 0.0), std=(51.0, 51.0, 51.0))


@dataclasses.dataclass(frozen=True)
class Projection(Algorithm):
    """One linear layer on the first channel's pixels."""

    def extract_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        return images[..., 0].reshape(len(images), -1) @ params['kernel']


@pytest.fixture(scope='module')
def params() -> dict[str, jax.Array]:
    return {'kernel': jax.random.normal(jax.random.key(0), (64, 24))}


def digits(rows: slice, labelled: bool = True) -> dict[str, Any]:
    """Real digits, 8 x 8 pixels."""
    data = load_digits()
    images = (data.images[rows] * 255 / 16).astype(np.uint8)
    return resident(Arrays(images, data.target[rows] if labelled else None), canvas=8)


def evaluator(labelled: bool = True, **options: Any) -> Evaluator:
    train, test = digits(slice(0, 300), labelled), digits(slice(300, 400), labelled)
    batches: dict[str, Any] = {'train': ArrayBatches(train, 128), 'test': ArrayBatches(test, 128)}
    return Evaluator(algorithm=Projection(), view=VIEW, **batches, **options)


def test_scores_are_those_of_the_features(params: dict[str, jax.Array]) -> None:
    found = evaluator(metrics=(KNN(k=5), Linear()))
    scores = found.evaluate(params, {})
    assert found.train is not None
    train, test = (found.extract(params, {}, batches) for batches in (found.train, found.test))
    data: tuple[Any, ...] = (train.features, train.labels, test.features, test.labels)
    assert set(scores) == {'knn', 'knn_top5', 'linear', 'feature_std', 'rankme'}
    assert scores['knn'] == knn_accuracy(*data, k=5)
    assert scores['knn_top5'] == knn_accuracy(*data, k=5, top=5) > scores['knn'] > 0.7
    assert scores['linear'] == linear_accuracy(*data, num_classes=10) > 0.7
    assert 1 < scores['rankme'] < 24


def test_labels_that_occur_are_counted_whatever_their_numbers(params: dict[str, jax.Array]) -> None:
    plain = evaluator()
    ids = {name: dict(getattr(plain, name).arrays) for name in ('train', 'test')}
    for arrays in ids.values():
        arrays['label'] = 1_698_765_432 - 10_000 * (9 - arrays['label'])
    odd: dict[str, Any] = {name: ArrayBatches(arrays, 128) for name, arrays in ids.items()}
    assert dataclasses.replace(plain, **odd).evaluate(params, {}) == plain.evaluate(params, {})


def test_classes_of_the_test_data_may_be_numbered_anew(params: dict[str, jax.Array]) -> None:
    plain = evaluator()
    assert isinstance(plain.test, ArrayBatches)
    arrays = {**plain.test.arrays, 'label': 9 - plain.test.arrays['label']}
    changes: dict[str, Any] = {
        'test': ArrayBatches(arrays, 128),
        'test_classes': np.arange(10)[::-1],
    }
    assert dataclasses.replace(plain, **changes).baselines(params, {}) == plain.baselines(
        params, {}
    )


def test_baselines(params: dict[str, jax.Array]) -> None:
    found = evaluator()
    baselines = found.baselines(params, {})
    assert list(baselines) == ['raw pixels', 'random network']
    assert baselines['random network'] == found.evaluate(params, {})
    assert baselines['raw pixels']['knn'] > 0.9  # upright centred digits are easy
    assert set(baselines['raw pixels']) == {'knn', 'knn_top5', 'linear'}


def test_without_labels_only_collapse_is_measured(params: dict[str, jax.Array]) -> None:
    found = evaluator(labelled=False)
    assert set(found.evaluate(params, {})) == {'feature_std', 'rankme'}
    assert list(found.baselines(params, {})) == ['random network']


def test_diverged_network_is_an_error_in_words(params: dict[str, jax.Array]) -> None:
    broken = {'kernel': params['kernel'] * np.nan}
    with pytest.raises(JsslError, match='diverged'):
        evaluator().evaluate(broken, {})
