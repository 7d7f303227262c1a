import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import info_nce, queue_similarities
from tests.algorithms import linear

DRAW = np.random.default_rng(0)
QUERY, KEY, QUEUE = (linear.unit(DRAW.standard_normal((rows, 3))) for rows in (4, 4, 7))


@pytest.mark.parametrize('temperature', [0.07, 0.5])
def test_the_loss_is_a_cross_entropy_over_key_and_queue(temperature: float) -> None:
    logits = np.concatenate([(QUERY * KEY).sum(1, keepdims=True), QUERY @ QUEUE.T], axis=1)
    with jax.enable_x64(True):
        query, key, queue = map(jnp.asarray, (QUERY, KEY, QUEUE))
        found = info_nce(query, key, queue, temperature)
    expected = linear.cross_entropy(logits / temperature, np.zeros(4, int))
    assert found.dtype == 'float64'
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_similarities_are_those_of_the_own_key_and_of_the_queue() -> None:
    positive, negative = queue_similarities(*map(jnp.asarray, (QUERY, KEY, QUEUE)))
    np.testing.assert_allclose(positive, np.diagonal(QUERY @ KEY.T), rtol=1e-6)
    np.testing.assert_allclose(negative, QUERY @ QUEUE.T, rtol=1e-5)
