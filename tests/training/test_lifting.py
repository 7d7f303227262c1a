"""Programs that differ in numbers alone become one that takes them as an argument."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.training.lifting import OtherProgram, lift

X = np.array([0.1, -0.2, 0.3], np.float32)


def everywhere(a: float, b: float) -> Callable[[jax.Array], Any]:
    """A function in which two numbers stand wherever a program can have them."""

    @jax.custom_vjp
    def scaled(x: jax.Array) -> jax.Array:
        return x * a

    scaled.defvjp(lambda x: (x * a, x), lambda x, g: (g * a * b,))

    def loop(carry: Any, row: jax.Array) -> Any:
        return carry * b + row, row * a

    def function(x: jax.Array) -> Any:
        called = jax.jit(lambda z: jax.nn.relu(z * a + b))(x)
        end, rows = jax.lax.scan(loop, called[0], called)
        start = jnp.zeros(()), end
        grown = jax.lax.while_loop(lambda c: c[0] < 5 * b, lambda c: (c[0] + a, c[1] * b), start)[1]
        chosen = jax.lax.cond(end > b, lambda t: t * a, lambda t: t - b, end)
        again = jax.checkpoint(lambda t: (jnp.sin(t * a) ** 2).sum())
        table = jnp.asarray(np.arange(3, dtype=np.float32) * a)
        return {
            'gradient': jax.grad(lambda t: (scaled(t) * a).sum())(x) + jax.grad(again)(x),
            'value': scaled(rows) + grown + chosen + table,
            'number': jnp.float32(a * b),
        }

    return function


def test_every_setting_gives_what_its_own_function_gives() -> None:
    settings = [(2.0, 3.0), (1.5, 0.7), (2.0, 0.1)]
    functions = [everywhere(*setting) for setting in settings]
    lifted = lift(functions, jax.ShapeDtypeStruct(X.shape, X.dtype))
    found = jax.jit(jax.vmap(lifted.call, (0, None)))(lifted.numbers, X)
    for number, function in enumerate(functions):
        alone = jax.jit(function)(X)
        for name, value in alone.items():
            np.testing.assert_allclose(found[name][number], value, rtol=1e-5, err_msg=name)


def test_equal_functions_have_no_numbers() -> None:
    lifted = lift([everywhere(2.0, 3.0), everywhere(2.0, 3.0)], X)
    assert lifted.numbers == ()
    np.testing.assert_array_equal(lifted.call((), X)['number'], 6)


@pytest.mark.parametrize(
    ('functions', 'words'),
    [
        ((lambda x: x + 1.0, lambda x: x - 1.0), 'operations differ: add and sub'),
        ((lambda x: x**2, lambda x: x**3), 'options of operations differ: 2 and 3'),
        ((lambda x: x * 2.0, lambda x: x), 'operations differ: 1 and 0'),
        ((lambda x: x[:1] * 2.0, lambda x: x[:2] * 2.0), 'differ'),
        ((lambda x: x * jnp.ones(3, jnp.int32), lambda x: x * 2), 'differ'),
        ((lambda x: (x + 1.0, x * 2.0), lambda x: (x + 1.0, (x + 1.0) * 2.0)), 'differ'),
        ((lambda x: (x + 1.0) * x, lambda x: (x + 1.0) * (x + 1.0)), 'differ'),
        ((lambda x: {'a': x}, lambda x: {'b': x}), 'other parts'),
    ],
)
def test_what_differs_in_more_is_refused(functions: Any, words: str) -> None:
    with pytest.raises(OtherProgram, match=words):
        lift(functions, X)


def test_a_number_where_none_can_be_replaced_is_refused() -> None:
    def reduced(number: float) -> Callable[[Any], Any]:
        return lambda x: jax.lax.reduce(x, np.float32(0), lambda a, b: a + b * number, (0,))

    with pytest.raises(OtherProgram, match='a number differs inside reduce'):
        jax.eval_shape(
            lambda x: (lifted := lift([reduced(2.0), reduced(3.0)], x)).call(lifted.of(0), x), X
        )
