import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import contrast, contrast_accuracy
from tests.checks import matrix


def test_hand_made_value() -> None:
    with jax.enable_x64(True):
        positive, negative = jnp.asarray(matrix(4, 1, 0.1))[:, 0], jnp.asarray(matrix(4, 6, 0.5))
        loss = contrast(positive, negative, temperature=0.2)
    assert float(loss) == pytest.approx(2.2684714716717345, abs=1e-12)


def test_equal_similarities_cost_the_logarithm_of_their_number() -> None:
    loss = contrast(jnp.zeros(3, 'bfloat16'), jnp.zeros((3, 9), 'bfloat16'))
    assert loss.dtype == 'float32'
    assert float(loss) == pytest.approx(np.log(10), rel=1e-6)


def test_a_tie_is_no_hit() -> None:
    negative = jnp.array([[0.1, 0.3], [0.3, 0.1], [0.1, -jnp.inf]])
    assert float(contrast_accuracy(jnp.full(3, 0.3), negative)) == pytest.approx(1 / 3)
