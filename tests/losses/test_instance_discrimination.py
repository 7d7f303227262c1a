import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import instance_discrimination
from tests.algorithms import linear
from tests.checks import matrix


def test_the_first_of_the_similarities_is_the_own_row_s() -> None:
    similarities = matrix(4, 6, 0.5)
    with jax.enable_x64(True):
        found = instance_discrimination(jnp.asarray(similarities), temperature=0.2)
    expected = linear.cross_entropy(similarities / 0.2, np.zeros(4, int))
    assert float(found) == pytest.approx(expected, rel=1e-9)
