import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jssl.errors import JsslError
from jssl.evaluation.linear import LinearProbe, fit_linear, linear_accuracy

Digits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope='module')
def digits() -> Digits:
    """Real digits: train and test features and labels; some pixels are constant."""
    data = load_digits()
    return data.data[:1200], data.target[:1200], data.data[1200:], data.target[1200:]


@pytest.fixture(scope='module')
def probe(digits: Digits) -> LinearProbe:
    return fit_linear(digits[0], digits[1], num_classes=10)


def test_agrees_with_scikit_learn(digits: Digits, probe: LinearProbe) -> None:
    train, labels, test, test_labels = digits
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1, tol=1e-6, max_iter=1000))
    reference.fit(train, labels)
    ours = np.asarray(probe.predict(test))
    assert np.mean(ours == test_labels) == pytest.approx(
        reference.score(test, test_labels), abs=0.01
    )
    assert np.mean(ours == reference.predict(test)) > 0.99
    np.testing.assert_allclose(probe.kernel, reference[-1].coef_.T, atol=0.05)


def test_accuracy_is_that_of_the_probe(digits: Digits, probe: LinearProbe) -> None:
    _, _, test, test_labels = digits
    accuracy = linear_accuracy(*digits, num_classes=10)
    assert accuracy == pytest.approx(np.mean(np.asarray(probe.predict(test)) == test_labels))


def test_is_deterministic(digits: Digits, probe: LinearProbe) -> None:
    again = fit_linear(digits[0], digits[1], num_classes=10)
    np.testing.assert_array_equal(again.kernel, probe.kernel)


def test_has_converged_when_it_stops(
    digits: Digits,
) -> None:
    """The gradient of the objective, computed in NumPy, is small against its start."""
    train, labels = digits[0], digits[1]
    probe = fit_linear(train, labels, num_classes=10)

    def gradient(kernel: np.ndarray, bias: np.ndarray) -> float:
        x = (train - np.asarray(probe.mean)) / np.asarray(probe.scale)
        logits = x @ kernel + bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return float(np.linalg.norm(x.T @ (p - np.eye(10)[labels]) + kernel))

    start = gradient(np.zeros((64, 10)), np.zeros(10))
    assert gradient(np.asarray(probe.kernel, float), np.asarray(probe.bias, float)) < 1e-2 * start


def test_l2_shrinks_the_kernel(digits: Digits, probe: LinearProbe) -> None:
    strong = fit_linear(digits[0], digits[1], num_classes=10, l2=100.0)
    assert np.linalg.norm(strong.kernel) < 0.5 * np.linalg.norm(probe.kernel)


def test_constant_features_give_the_most_frequent_class() -> None:
    """Large constants differ by rounding alone, which must not be blown up to a signal."""
    features = np.full((60, 3), 1234.567, np.float32)
    labels = np.repeat([0, 1, 2], [10, 30, 20])
    probe = fit_linear(features, labels, num_classes=3, steps=20)
    assert np.asarray(probe.predict(features)).tolist() == [1] * 60
    np.testing.assert_allclose(probe.kernel, 0, atol=1e-3)


def test_scale_and_offset_of_a_feature_do_not_matter(digits: Digits, probe: LinearProbe) -> None:
    train, labels, test, _ = digits
    moved = fit_linear(100 * train + 7, labels, num_classes=10)
    same = np.asarray(moved.predict(100 * test + 7)) == np.asarray(probe.predict(test))
    assert same.mean() > 0.99


def test_bad_input_is_named(digits: Digits) -> None:
    train, labels, test, test_labels = digits
    with pytest.raises(JsslError, match='outside 0 to 4'):
        fit_linear(train, labels, num_classes=5)
    with pytest.raises(JsslError, match='64 dimensions and test_features have 63'):
        linear_accuracy(train, labels, test[:, 1:], test_labels, num_classes=10)
    with pytest.raises(JsslError, match='test_labels has the shape'):
        linear_accuracy(train, labels, test, test_labels[1:], num_classes=10)
