import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import byol_regression
from tests.algorithms import linear
from tests.checks import matrix

ROWS = matrix(4, 5, 0.2), matrix(4, 5, 0.9)


def test_the_squared_distance_of_unit_vectors() -> None:
    expected = np.square(linear.unit(ROWS[0]) - linear.unit(ROWS[1])).sum(axis=1).mean()
    with jax.enable_x64(True):
        found = byol_regression(*map(jnp.asarray, ROWS))
        constant = found - byol_regression(*map(jnp.asarray, ROWS), shift=0.0)
    assert float(found) == pytest.approx(expected, rel=1e-12)
    assert float(constant) == pytest.approx(2, rel=1e-12)
