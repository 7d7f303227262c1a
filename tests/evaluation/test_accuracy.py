import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from jssl.evaluation import classifier_scores, top_k_accuracy
from tests.checks import refused

DRAW = np.random.default_rng(0)
LOGITS = DRAW.standard_normal((40, 7))
LABELS = DRAW.integers(0, 7, 40)


@pytest.mark.parametrize('k', [1, 3, 5])
def test_equals_scikit_learn(k: int) -> None:
    expected = top_k_accuracy_score(LABELS, LOGITS, k=k, labels=range(7))
    assert top_k_accuracy(LOGITS, LABELS, k) == pytest.approx(expected)


def test_every_class_named_is_always_right() -> None:
    assert top_k_accuracy(LOGITS, LABELS, 7) == top_k_accuracy(LOGITS, LABELS, 9) == 1


def test_scores_of_one_head_and_of_several() -> None:
    scores = classifier_scores(LOGITS, LABELS)
    assert scores == {
        'test_accuracy': top_k_accuracy(LOGITS, LABELS),
        'test_top5': top_k_accuracy(LOGITS, LABELS, 5),
    }
    several = classifier_scores(np.stack([-LOGITS, LOGITS], axis=1), LABELS)
    assert several['test_accuracy.1'] == top_k_accuracy(-LOGITS, LABELS)
    assert several['test_accuracy.2'] == scores['test_accuracy']
    assert several | scores == several


def test_five_of_few_classes_say_nothing() -> None:
    assert classifier_scores(LOGITS[:, :5], LABELS % 5).keys() == {'test_accuracy'}


def test_what_does_not_fit_is_refused() -> None:
    with refused('(40,)', 'one row of class logits'):
        top_k_accuracy(LOGITS[:, 0], LABELS)
    with refused('k=0', 'at least 1'):
        top_k_accuracy(LOGITS, LABELS, 0)
    with refused('outside 0 to 3'):
        top_k_accuracy(LOGITS[:, :4], LABELS)
