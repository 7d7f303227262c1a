import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import MoCoV3Head
from jssl.necks import NonLinearNeck
from tests.checks import matrix, refused

PREDICTOR = NonLinearNeck(5, 3, 5, with_last_bn=False, with_avg_pool=False)
PREDICTIONS, TARGETS = matrix(4, 5, 0.2), matrix(4, 5, 0.9)


def test_logits_are_cosines_over_the_temperature() -> None:
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (PREDICTIONS, TARGETS)]
    with jax.enable_x64(True):
        head = MoCoV3Head(PREDICTOR, temperature=0.2)
        logits = head.logits(jnp.asarray(PREDICTIONS), jnp.asarray(TARGETS))
    np.testing.assert_allclose(logits, unit[0] @ unit[1].T / 0.2, rtol=1e-9)


def test_the_targets_get_no_gradient() -> None:
    def total(predictions: jax.Array, targets: jax.Array) -> jax.Array:
        return MoCoV3Head(PREDICTOR).logits(predictions, targets)[:, 0].sum()

    grads = jax.grad(total, argnums=(0, 1))(jnp.asarray(PREDICTIONS), jnp.asarray(TARGETS))
    assert np.any(grads[0])
    assert not np.any(grads[1])


def test_it_applies_its_predictor() -> None:
    rows = jnp.asarray(PREDICTIONS)
    variables = MoCoV3Head(PREDICTOR).init(jax.random.key(0), rows, train=False)
    found = MoCoV3Head(PREDICTOR).apply(variables, rows, train=False)
    inner = {kind: tree['predictor'] for kind, tree in variables.items()}
    np.testing.assert_array_equal(found, PREDICTOR.apply(inner, (rows,), train=False))


@pytest.mark.parametrize('temperature', [0.0, -0.1])
def test_a_temperature_must_be_positive(temperature: float) -> None:
    with refused(f'temperature={temperature}', 'positive'):
        MoCoV3Head(PREDICTOR, temperature=temperature)
