from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.heads import LatentPredictHead
from jssl.interop.mmselfsup import export_state
from jssl.necks import NonLinearNeck
from tests.checks import matrix

PREDICTOR = NonLinearNeck(5, 3, 5, with_last_bn=False, with_last_bias=True, with_avg_pool=False)
ROWS = jnp.asarray(matrix(4, 5, 0.2))


def test_it_applies_its_predictor_under_the_reference_s_names() -> None:
    head = LatentPredictHead(PREDICTOR)
    variables: Any = head.init(jax.random.key(0), ROWS, train=False)
    found = head.apply(variables, ROWS, train=False)
    inner = {kind: tree['predictor'] for kind, tree in variables.items()}
    np.testing.assert_array_equal(found, PREDICTOR.apply(inner, (ROWS,), train=False))
    assert export_state({'head': variables['params']}).keys() == {
        'head.predictor.fc0.weight',
        'head.predictor.bn0.weight',
        'head.predictor.bn0.bias',
        'head.predictor.fc1.weight',
        'head.predictor.fc1.bias',
    }
