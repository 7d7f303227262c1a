from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.swiglu import SwiGLU
from tests.checks import applied, well_scaled

X = jax.random.normal(jax.random.key(1), (3, 5, 8))


def made(channels: int, *, fused: bool) -> tuple[SwiGLU, Any]:
    module = SwiGLU(channels, fused=fused)
    return module, well_scaled(jax.eval_shape(module.init, jax.random.key(0), X))


def expected(w1: Any, w2: Any, w3: Any, x: np.ndarray) -> np.ndarray:
    """The equation in float64."""
    gate, value = (x @ np.float64(w['kernel']) + np.float64(w['bias']) for w in (w1, w2))
    hidden = gate / (1 + np.exp(-gate)) * value
    return hidden @ np.float64(w3['kernel']) + np.float64(w3['bias'])


def test_two_layers_gate_each_other() -> None:
    module, variables = made(32, fused=False)
    params = variables['params']
    assert params['w1']['kernel'].shape == (8, 24)  # int(21.3) up to a multiple of 8
    wanted = expected(params['w1'], params['w2'], params['w3'], np.asarray(X, np.float64))
    np.testing.assert_allclose(applied(module, variables, X), wanted, atol=1e-5)


def test_the_first_half_of_the_fused_layer_is_the_gate() -> None:
    module, variables = made(32, fused=True)
    joint = variables['params']['w12']
    w1, w2 = (
        {'kernel': joint['kernel'][:, part], 'bias': joint['bias'][part]}
        for part in (slice(None, 24), slice(24, None))
    )
    wanted = expected(w1, w2, variables['params']['w3'], np.asarray(X, np.float64))
    np.testing.assert_allclose(applied(module, variables, X), wanted, atol=1e-5)


@pytest.mark.parametrize(('channels', 'hidden'), [(4096, 2736), (6144, 4096), (256, 176)])
def test_the_hidden_width(channels: int, hidden: int) -> None:
    shapes = jax.eval_shape(SwiGLU(channels).init, jax.random.key(0), jnp.zeros((1, 8)))
    assert shapes['params']['w3']['kernel'].shape == (hidden, 8)
