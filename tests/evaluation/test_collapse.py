import re

import numpy as np
import pytest

from jssl.errors import JsslError
from jssl.evaluation.collapse import (
    collapse_warning,
    evenly_spaced,
    feature_statistics,
    feature_std,
    rankme,
)

HEALTHY = {'feature_std': 0.5, 'rankme': 20.0}


def rankme_by_formula(features: np.ndarray) -> float:
    """Garrido et al. 2023, from the eigenvalues of the Gram matrix instead of the SVD."""
    gram = features.astype(np.float64).T @ features.astype(np.float64)
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    share = values / values.sum() + 1e-7
    return np.exp(-(share * np.log(share)).sum())


def test_rankme_matches_the_formula() -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(200, 16)) * np.arange(1, 17)).astype(np.float32)
    assert feature_statistics(features)['rankme'] == pytest.approx(rankme_by_formula(features))
    assert 8 < rankme_by_formula(features) < 16


def test_rankme_of_orthonormal_features_is_their_dimension() -> None:
    features, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(50, 12)))
    assert rankme(features) == pytest.approx(12, rel=1e-4)


def test_rankme_of_parallel_features_is_one() -> None:
    rng = np.random.default_rng(0)
    features = np.outer(rng.normal(size=50), rng.normal(size=12))
    assert rankme(features) == pytest.approx(1, abs=1e-3)
    assert rankme(np.zeros((5, 3))) == 1


def test_std_is_one_on_the_sphere_and_zero_when_constant() -> None:
    rng = np.random.default_rng(0)
    assert feature_std(rng.normal(size=(5000, 64))) == pytest.approx(1, abs=0.02)
    constant = np.outer(rng.uniform(1, 9, 50), rng.normal(size=12))
    assert feature_std(constant) == pytest.approx(0, abs=1e-6)  # length does not count


def test_std_matches_numpy_by_hand() -> None:
    features = np.array([[3.0, 4.0], [5.0, 0.0]])  # unit rows (0.6, 0.8) and (1, 0)
    assert feature_std(features) == pytest.approx((0.2 + 0.4) / 2 * np.sqrt(2))


def test_large_sets_are_thinned_evenly() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1000, 4))
    thinned = feature_statistics(features, max_rows=100)
    assert thinned == feature_statistics(features[::10])


def test_statistics_refuse_what_they_cannot_judge() -> None:
    with pytest.raises(JsslError, match='NaN or infinity'):
        feature_statistics(np.array([[1.0, np.nan]]))
    with pytest.raises(JsslError, match='no matrix'):
        feature_statistics(np.zeros((3, 2, 2)))


@pytest.mark.parametrize(('total', 'limit'), [(10, 3), (3, 10), (7, 7), (1_300_000, 20_000)])
def test_evenly_spaced_rows(total: int, limit: int) -> None:
    rows = evenly_spaced(total, limit)
    assert len(rows) == min(total, limit)
    assert rows[0] == 0
    assert rows[-1] < total
    gaps = np.diff(rows)
    assert gaps.max() - gaps.min() <= 1
    assert gaps.min() >= 1


def test_healthy_run_gets_no_warning() -> None:
    """These came from a small SimCLR run on digits, 64 dimensions, from its tenth step on."""
    history = [
        {'feature_std': 0.14, 'rankme': 1.8},
        {'feature_std': 0.16, 'rankme': 3.0},
        {'feature_std': 0.27, 'rankme': 4.0},
        {'feature_std': 0.35, 'rankme': 6.8},
    ]
    for length in range(len(history) + 1):
        assert collapse_warning(history[:length], dimensions=64) is None


@pytest.mark.parametrize(
    ('last', 'words'),
    [
        ({'feature_std': 0.02, 'rankme': 20.0}, 'collapsed to a point: their spread is 0.020'),
        ({'feature_std': 0.5, 'rankme': 1.5}, r'few directions: .* 1.5 of 64'),
        ({'feature_std': 0.5, 'rankme': 3.9}, r'rank \(RankMe\) fell from 20 to 3.9'),
        ({'feature_std': 0.11, 'rankme': 20.0}, r'spread fell from 0.9 to 0.11'),
    ],
)
def test_collapse_is_told_in_words(last: dict[str, float], words: str) -> None:
    history = [{'feature_std': 0.9, 'rankme': 20.0}, HEALTHY, last]
    assert collapse_warning(history, dimensions=64) is None, 'one low value is no collapse yet'
    warning = collapse_warning([*history, last], dimensions=64)
    assert warning is not None
    assert re.search(words, warning)
    for remedy in ('learning rate', 'temperature', 'batch', 'stop-gradient'):
        assert remedy in warning


def test_recovered_run_gets_no_warning() -> None:
    low = {'feature_std': 0.01, 'rankme': 1.0}
    assert collapse_warning([HEALTHY, low, low, HEALTHY], dimensions=64) is None


def test_lowest_rank_grows_with_the_dimensions() -> None:
    history = [{'feature_std': 0.5, 'rankme': 15.0}] * 2
    assert collapse_warning(history, dimensions=512) is None
    assert '15.0 of 2048' in str(collapse_warning(history, dimensions=2048))


def test_rows_without_indicators_are_passed_over() -> None:
    low = {'feature_std': 0.01, 'rankme': 1.0}
    assert collapse_warning([{'loss': 1.0}, low, {'loss': 0.9}, low], dimensions=64)


@pytest.mark.parametrize('dimensions', [2, 3, 5, 7])
def test_few_dimensions_or_images_are_judged_by_what_they_can_reach(dimensions: int) -> None:
    full = {'feature_std': 0.5, 'rankme': 0.75 * dimensions}
    assert collapse_warning([full] * 3, dimensions) is None
    one = {'feature_std': 0.5, 'rankme': 1.01}
    assert (collapse_warning([one] * 3, dimensions) is None) == (dimensions < 5)


def test_one_image_or_one_dimension_tells_nothing() -> None:
    assert collapse_warning([{'feature_std': 0.0, 'rankme': 1.0}] * 3, dimensions=1) is None


def test_what_was_not_measured_is_passed_over() -> None:
    low, gone = {'feature_std': 0.01, 'rankme': 1.0}, {'feature_std': float('nan'), 'rankme': 9.0}
    assert collapse_warning([low, gone, low], dimensions=64)
