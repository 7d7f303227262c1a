from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.heads import LatentPredictHead
from jssl.interop.mmselfsup import export_state
from jssl.losses import negative_cosine
from jssl.necks import NonLinearNeck
from tests.checks import matrix

PREDICTOR = NonLinearNeck(5, 3, 5, with_last_bn=False, with_last_bias=True, with_avg_pool=False)
ROWS, TARGETS = jnp.asarray(matrix(4, 5, 0.2)), jnp.asarray(matrix(4, 5, 0.9))


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


def test_its_loss_gives_the_targets_no_gradient() -> None:
    head = LatentPredictHead(PREDICTOR, shift=2.0, scale=2.0)
    loss, grads = jax.value_and_grad(head.loss, argnums=(0, 1))(ROWS, TARGETS)
    assert float(loss) == float(negative_cosine(ROWS, TARGETS, shift=2.0, scale=2.0))
    assert np.any(grads[0])
    assert not np.any(grads[1])
