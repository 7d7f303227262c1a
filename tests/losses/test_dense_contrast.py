import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import dense_contrast, info_nce
from tests.algorithms import linear

DRAW = np.random.default_rng(0)
QUERY, KEY = (linear.unit(DRAW.standard_normal((3, 4, 5))) for _ in range(2))
QUEUE = linear.unit(DRAW.standard_normal((6, 5)))


def test_every_cell_of_every_image_counts_alike() -> None:
    """And the gradient is that of all cells at once, though they come one after the other."""
    rows = jnp.asarray(KEY.reshape(12, 5))

    def at_once(cells: jax.Array) -> jax.Array:
        return info_nce(cells.reshape(12, 5), rows, jnp.asarray(QUEUE), 0.2)

    with jax.enable_x64(True):
        query, key, queue = map(jnp.asarray, (QUERY, KEY, QUEUE))
        rows = key.reshape(12, 5)
        loss, gradient = jax.jit(jax.value_and_grad(dense_contrast))(query, key, queue, 0.2)
        expected, expected_gradient = jax.jit(jax.value_and_grad(at_once))(query)
    assert float(loss) == pytest.approx(float(expected), rel=1e-9)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-9)
