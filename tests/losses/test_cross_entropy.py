import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import cross_entropy, weighted_cross_entropy
from tests.checks import matrix

LOGITS, LABELS = matrix(4, 3, 0.7), np.array([0, 2, 1, 2])


def test_hand_made_value() -> None:
    with jax.enable_x64(True):
        loss = cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS))
    assert loss.dtype == 'float64'
    assert float(loss) == pytest.approx(1.607706313115523, abs=1e-12)


def test_gradient_is_probability_minus_one_hot() -> None:
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    expected = (probabilities - np.eye(3)[LABELS]) / len(LABELS)
    grad = jax.jit(jax.grad(cross_entropy))(LOGITS, LABELS)
    np.testing.assert_allclose(grad, expected, atol=1e-6)


def test_minus_infinity_takes_a_class_out_of_the_sum_and_the_gradient() -> None:
    masked, labels = LOGITS.copy(), np.array([0, 2, 0, 2])
    masked[:, 1] = -np.inf
    expected = jax.jit(cross_entropy)(LOGITS[:, [0, 2]], labels // 2)
    loss, grad = jax.jit(jax.value_and_grad(cross_entropy))(masked, labels)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_array_equal(grad[:, 1], 0)
    np.testing.assert_allclose(grad[:, 0], -grad[:, 2], atol=1e-7)


def test_large_logits_do_not_overflow() -> None:
    loss = cross_entropy(jnp.array([[1000.0, 0.0], [0.0, 1000.0]]), jnp.array([0, 0]))
    assert float(loss) == pytest.approx(500)


def test_bfloat16_logits_are_summed_in_float32() -> None:
    logits = jnp.zeros((4, 1000), 'bfloat16')
    loss = cross_entropy(logits, jnp.zeros(4, 'int32'))
    assert loss.dtype == 'float32'
    assert float(loss) == pytest.approx(np.log(1000), rel=1e-6)


@pytest.mark.parametrize(
    ('normalize', 'expected'), [(False, 0.6523261574791125), (True, 1.7395364199443)]
)
def test_class_weights_of_the_reference_and_of_pytorch(normalize: bool, expected: float) -> None:
    weights = np.array([0.2, 0.3, 0.5])
    with jax.enable_x64(True):
        inputs = (jnp.asarray(x) for x in (LOGITS, LABELS, weights))
        loss = weighted_cross_entropy(*inputs, normalize=normalize)
    assert float(loss) == pytest.approx(expected, abs=1e-12)
