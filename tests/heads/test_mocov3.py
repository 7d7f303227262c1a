import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import MoCoV3Head
from jssl.necks import NonLinearNeck
from tests.checks import matrix, refused

PREDICTOR = NonLinearNeck(5, 3, 5, with_last_bn=False, with_avg_pool=False)
ROWS = jnp.asarray(matrix(4, 5, 0.2))


def test_it_applies_its_predictor() -> None:
    variables = MoCoV3Head(PREDICTOR).init(jax.random.key(0), ROWS, train=False)
    found = MoCoV3Head(PREDICTOR).apply(variables, ROWS, train=False)
    inner = {kind: tree['predictor'] for kind, tree in variables.items()}
    np.testing.assert_array_equal(found, PREDICTOR.apply(inner, (ROWS,), train=False))


@pytest.mark.parametrize('temperature', [0.0, -0.1])
def test_a_temperature_must_be_positive(temperature: float) -> None:
    with refused(f'temperature={temperature}', 'positive'):
        MoCoV3Head(PREDICTOR, temperature=temperature)
