from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.layers.rows import by_rows
from tests.checks import applied


def test_a_layer_on_rows_is_the_layer_on_tokens_and_so_are_its_gradients() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    layer = nn.Dense(7)
    params = layer.init(jax.random.key(1), x)

    def total(params: dict[str, Any], x: jax.Array, rows: bool) -> jax.Array:
        apply = lambda x: applied(layer, params, x)  # noqa: E731
        y = by_rows(apply, x) if rows else apply(x)
        assert y.shape == (2, 3, 4, 7)
        return jnp.sum(jnp.sin(y))

    ours, wanted = (jax.grad(total, (0, 1))(params, x, rows) for rows in (True, False))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ours, wanted)
