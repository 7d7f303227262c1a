import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import ContrastiveHead
from jssl.losses import cross_entropy
from tests.checks import matrix, refused


def test_hand_made_value() -> None:
    with jax.enable_x64(True):
        positive, negative = jnp.asarray(matrix(4, 1, 0.1)), jnp.asarray(matrix(4, 6, 0.5))
        logits = ContrastiveHead(temperature=0.2)(positive, negative)
        loss = cross_entropy(logits, jnp.zeros(4, 'int32'))
    assert float(loss) == pytest.approx(2.2684714716717345, abs=1e-12)


def test_the_positive_comes_first_and_all_are_sharpened() -> None:
    logits = ContrastiveHead(temperature=0.5)(jnp.ones((2, 1)), jnp.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(logits, [[2, 0, 2, 4], [2, 6, 8, 10]])


@pytest.mark.parametrize('temperature', [0.0, -0.1])
def test_a_temperature_must_be_positive(temperature: float) -> None:
    with refused(f'temperature={temperature}', 'positive'):
        ContrastiveHead(temperature=temperature)
