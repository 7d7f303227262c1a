import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.normalize import l2_normalize
from tests.checks import matrix


@pytest.mark.parametrize('axis', [0, 1, -1])
def test_values_and_gradients_are_those_of_the_definition(axis: int) -> None:
    x, weight = matrix(4, 3, 0.2), matrix(4, 3, 0.9)
    norm = np.linalg.norm(x, axis=axis, keepdims=True)
    unit = x / norm
    expected_grad = (weight - unit * np.sum(unit * weight, axis, keepdims=True)) / norm
    with jax.enable_x64(True):
        found = l2_normalize(jnp.asarray(x), axis)
        grad = jax.grad(lambda x: jnp.sum(l2_normalize(x, axis) * weight))(jnp.asarray(x))
    np.testing.assert_allclose(found, unit, rtol=1e-12)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-9, atol=1e-12)


def test_a_zero_vector_stays_zero_and_its_gradient_finite() -> None:
    rows = jnp.zeros((2, 3)).at[1, 0].set(2.0)
    np.testing.assert_array_equal(l2_normalize(rows), [[0, 0, 0], [1, 0, 0]])
    assert jnp.isfinite(jax.grad(lambda x: l2_normalize(x).sum())(rows)).all()


def test_bfloat16_becomes_float32_first() -> None:
    rows = jnp.asarray(matrix(2, 64, 0.1), 'bfloat16')
    unit = l2_normalize(rows)
    assert unit.dtype == 'float32'
    np.testing.assert_allclose(jnp.linalg.norm(unit, axis=1), 1, rtol=1e-6)
