"""Weight normalisation: columns of a length of their own, whatever their parameters' length."""

from typing import Any

import jax
import numpy as np
import pytest

from jssl.layers.weight_norm import WeightNormLinear

pytestmark = pytest.mark.usefixtures('float64')
DRAW = np.random.default_rng(0)
X, V, G = (DRAW.standard_normal(shape) for shape in ((5, 3), (3, 7), (1, 7)))


def outputs(v: Any, g: Any = G, fixed: bool = False) -> Any:
    variables = {'params': {'weight_v': v, 'weight_g': g}}
    return WeightNormLinear(7, fixed_scale=fixed).apply(variables, X)


def test_columns_have_the_length_that_is_learned() -> None:
    np.testing.assert_allclose(outputs(V), X @ (G * V / np.linalg.norm(V, axis=0)), atol=1e-12)
    np.testing.assert_allclose(outputs(V * 3), outputs(V), atol=1e-12)


def test_the_gradient_turns_columns_and_does_not_lengthen_them() -> None:
    gradient = jax.grad(lambda v: (outputs(v) ** 2).sum())(V)
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose((gradient * V).sum(0), 0, atol=1e-12)


@pytest.mark.parametrize(('fixed', 'learned'), [(True, False), (False, True)])
def test_a_fixed_length_has_no_gradient(fixed: bool, learned: bool) -> None:
    gradient = jax.grad(lambda g: outputs(V, g, fixed).sum())(G)
    assert np.any(gradient) == learned
