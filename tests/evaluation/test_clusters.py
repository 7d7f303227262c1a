import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from jssl.evaluation.clusters import ClusterScores, normalized_mutual_information

DRAW = np.random.default_rng(0)
TRUTH = DRAW.integers(0, 7, 500)
NOISY = np.where(DRAW.random(500) < 0.6, (TRUTH * 3) % 11, DRAW.integers(0, 11, 500))


@pytest.mark.parametrize(
    ('first', 'second'),
    [(TRUTH, NOISY), (NOISY, TRUTH), (TRUTH, np.zeros(500, int)), (TRUTH, np.arange(500))],
)
def test_scikit_learn_s_values(first: np.ndarray, second: np.ndarray) -> None:
    expected = normalized_mutual_info_score(first, second)
    assert normalized_mutual_information(first, second) == pytest.approx(expected, abs=1e-12)


def test_names_of_groups_do_not_matter() -> None:
    assert normalized_mutual_information(TRUTH, 10**12 * TRUTH - 7) == pytest.approx(1)
    assert normalized_mutual_information(TRUTH, 6 - TRUTH) == pytest.approx(1)
    assert normalized_mutual_information(np.zeros(3, int), np.ones(3, int)) == 1


def test_labels_are_compared_with_what_it_saw_last_and_with_the_truth() -> None:
    clusters = ClusterScores()
    assert clusters.compare(NOISY) == {}
    assert clusters.compare(NOISY[::-1]).keys() == {'nmi_previous'}
    clusters.truth = TRUTH
    scores = clusters.compare(NOISY)
    assert scores['nmi_previous'] == normalized_mutual_information(NOISY, NOISY[::-1])
    assert scores['nmi_truth'] == normalized_mutual_information(NOISY, TRUTH)
