"""Choosing tokens: as `take_along_axis`, its gradient too, without a scatter in the program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.gather import take_tokens
from tests.programs import lowered, operations

TOKENS, WIDTH = 5, 3
ORDERS = np.array([[4, 0, 2, 1, 3], [1, 3, 4, 0, 2]])


def squares(x: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.sum(take_tokens(x, index) ** 2 * jnp.arange(1.0, 1 + index.shape[1])[:, None])


@pytest.mark.parametrize('chosen', [2, TOKENS])
def test_tokens_and_their_gradient_are_those_of_take_along_axis(chosen: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, TOKENS, WIDTH)).astype(np.float32)
    index = ORDERS[:, :chosen]
    expected, given = np.zeros_like(x), np.arange(1.0, 1 + chosen)[:, None]
    for image, places in enumerate(index):
        expected[image, places] = 2 * x[image, places] * given
        np.testing.assert_array_equal(take_tokens(x, index)[image], x[image, places])
    np.testing.assert_allclose(jax.grad(squares)(x, index), expected, rtol=1e-6)


def test_nothing_is_scattered() -> None:
    shapes = jax.ShapeDtypeStruct((2, TOKENS, WIDTH), 'bfloat16'), jax.ShapeDtypeStruct((2, 2), int)
    assert not operations(lowered(jax.grad(squares), *shapes))['scatter']
