"""The norms of what a function computes on its way, beside its own result and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.within import with_norms


def function(tree: dict[str, jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
    hidden = tree['w'] @ x
    return jnp.sum(jnp.tanh(hidden) ** 2), hidden[:2]


def test_inputs_and_all_on_the_way_are_found_by_size_and_results_stay() -> None:
    tree, x = {'w': jnp.arange(12.0).reshape(4, 3) / 10}, jnp.array([1.0, -2.0, 0.5])
    (loss, part), norms = jax.jit(with_norms(function, [12, 4]))(tree, x)
    expected = function(tree, x)
    assert loss == pytest.approx(float(expected[0]))
    np.testing.assert_allclose(part, expected[1])
    assert sorted(norms) == [4, 12]
    hidden = np.asarray(tree['w'] @ x)
    for wanted in (hidden, np.tanh(hidden), np.tanh(hidden) ** 2):
        assert np.isclose(norms[4], np.linalg.norm(wanted)).any()
    assert not np.isclose(norms[4], np.linalg.norm(hidden) * 1.001).any()
    assert np.isclose(norms[12], np.linalg.norm(tree['w'])).any()


def test_gradients_are_those_of_the_function() -> None:
    tree, x = {'w': jnp.ones((4, 3))}, jnp.array([0.1, 0.2, 0.3])
    noted = with_norms(function, [4])
    found = jax.grad(lambda tree: noted(tree, x)[0][0])(tree)
    expected = jax.grad(lambda tree: function(tree, x)[0])(tree)
    np.testing.assert_allclose(found['w'], expected['w'], rtol=1e-6)
