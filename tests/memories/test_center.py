import jax
import jax.numpy as jnp
import numpy as np

from jssl.memories import update_center, update_covariance


def test_a_center_moves_by_a_tenth_and_has_no_gradient() -> None:
    center, mean = jnp.array([1.0, 2.0]), jnp.array([3.0, 0.0])
    np.testing.assert_allclose(update_center(center, mean), [1.2, 1.8], rtol=1e-6)
    assert not jax.grad(lambda mean: update_center(center, mean).sum())(mean).any()


def test_a_covariance_is_one_of_unit_rows() -> None:
    rows = jax.random.normal(jax.random.key(0), (6, 3))
    found = update_covariance(jnp.zeros((3, 3)), rows, momentum=0.0)
    np.testing.assert_allclose(found, update_covariance(jnp.zeros((3, 3)), 5 * rows, 0.0), 1e-5)
    np.testing.assert_allclose(jnp.trace(found), 1, rtol=1e-6)
