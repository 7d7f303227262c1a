import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import barlow_twins, cross_correlation


def test_the_identity_costs_nothing_and_no_gradient() -> None:
    value, gradient = jax.jit(jax.value_and_grad(barlow_twins))(jnp.eye(4))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize('weight', [0.0051, 0.0, 1.0])
def test_equation_1_term_by_term(weight: float) -> None:
    matrix = np.random.default_rng(0).standard_normal((5, 5))
    pairs = [(i, j) for i in range(5) for j in range(5)]
    expected = sum((matrix[i, i] - 1) ** 2 for i in range(5))
    expected += weight * sum(matrix[i, j] ** 2 for i, j in pairs if i != j)
    with jax.enable_x64(True):
        assert float(barlow_twins(jnp.asarray(matrix), weight)) == pytest.approx(expected)


def test_at_least_float32() -> None:
    assert barlow_twins(jnp.eye(3, dtype=jnp.bfloat16)).dtype == 'float32'


def test_entry_ij_belongs_to_feature_i_of_the_first_view() -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 6, 3))
    with jax.enable_x64(True):
        found = cross_correlation(jnp.asarray(first), jnp.asarray(second))
    pairs = [(i, j) for i in range(3) for j in range(3)]
    expected = [np.mean(first[:, i] * second[:, j]) for i, j in pairs]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-12)
