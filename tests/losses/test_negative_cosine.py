import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import negative_cosine
from tests.checks import matrix

PREDICTION, TARGET = matrix(4, 5, 0.2), matrix(4, 5, 0.9)


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [({}, -0.7658983363796396), ({'shift': 2.0, 'scale': 2.0}, 0.46820332724072083)],
)
def test_hand_made_values(settings: dict[str, float], expected: float) -> None:
    with jax.enable_x64(True):
        loss = negative_cosine(jnp.asarray(PREDICTION), jnp.asarray(TARGET), **settings)
    assert loss.dtype == 'float64'
    assert float(loss) == pytest.approx(expected, abs=1e-12)


def test_gradient_is_that_of_the_definition() -> None:
    norm = np.linalg.norm(PREDICTION, axis=1, keepdims=True)
    unit, target = PREDICTION / norm, TARGET / np.linalg.norm(TARGET, axis=1, keepdims=True)
    cosine = np.sum(unit * target, axis=1, keepdims=True)
    expected = -(target - cosine * unit) / norm / len(unit)
    with jax.enable_x64(True):
        grad = jax.grad(negative_cosine)(jnp.asarray(PREDICTION), jnp.asarray(TARGET))
    np.testing.assert_allclose(grad, expected, rtol=1e-9)


def test_all_leading_places_count_alike() -> None:
    rows = jnp.asarray(PREDICTION), jnp.asarray(TARGET)
    folded = (array.reshape(2, 2, 5) for array in rows)
    assert float(negative_cosine(*folded)) == pytest.approx(float(negative_cosine(*rows)), rel=1e-6)


def test_bfloat16_is_averaged_in_float32() -> None:
    rows = (jnp.asarray(array, 'bfloat16') for array in (PREDICTION, TARGET))
    assert negative_cosine(*rows).dtype == 'float32'
