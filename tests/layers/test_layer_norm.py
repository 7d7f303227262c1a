"""Layer norms equal flax's in values, gradients and types, and on accelerators in the program."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.layer_norm import layer_norm
from jssl.layers.transformer import TransformerBlock
from jssl.planning.program import memory
from tests.checks import applied, assert_trees_close

CHANNELS = 24


def flax_norm(dtype: str | None = None) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-3, dtype=dtype, use_fast_variance=False)


def drawn(*shape: int, dtype: str = 'float32') -> tuple[Any, Any]:
    """Parameters that are neither 0 nor 1, and an input whose mean is large against its spread."""
    draw = np.random.default_rng(0)
    params = {'scale': draw.normal(1, 0.3, CHANNELS), 'bias': draw.normal(0, 0.3, CHANNELS)}
    params = {name: value.astype('float32') for name, value in params.items()}
    return jax.device_put((params, draw.normal(3, 0.5, (*shape, CHANNELS)).astype(dtype)))


def value_and_gradients(norm: Any) -> Any:
    """A function of parameters and input: the output, and gradients of a weighted sum of it."""

    def weighed(params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = norm.apply({'params': params}, x)
        return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum(), y

    return jax.value_and_grad(weighed, (0, 1), has_aux=True)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('shape', [(6,), (5, 7), (2, 3, 4)])
def test_values_and_gradients_are_flax_s(shape: tuple[int, ...]) -> None:
    params, x = drawn(*shape, dtype='float64')
    params = jax.tree.map(lambda leaf: leaf.astype('float64'), params)
    norms = layer_norm('norm', epsilon=1e-3), flax_norm()
    found, expected = jax.jit(
        lambda params, x: [value_and_gradients(norm)(params, x) for norm in norms]
    )(params, x)
    assert_trees_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ('given', 'dtype', 'expected'),
    [
        *(('bfloat16', 'bfloat16', 'bfloat16'), ('bfloat16', None, 'float32')),
        ('float32', 'bfloat16', 'bfloat16'),
    ],
)
def test_bfloat16_is_computed_in_float32(given: str, dtype: Any, expected: str) -> None:
    params, x = drawn(5, 7)
    x = x.astype(given)
    norms = layer_norm('norm', dtype, 1e-3), flax_norm(dtype)
    found, wanted = jax.jit(
        lambda params, x: [value_and_gradients(norm)(params, x) for norm in norms]
    )(params, x)
    assert found[0][1].dtype == expected
    types = [[leaf.dtype for leaf in jax.tree.leaves(tree)] for tree in (found, wanted)]
    assert types[0] == types[1]
    # flax adds parts of a gradient in bfloat16 where they are summed in float32 here.
    wide: Any = jax.tree.map(lambda leaf: leaf.astype('float32'), (found, wanted))
    assert_trees_close(*wide, rtol=2**-6, atol=2e-2)


def test_the_norm_is_that_of_torch_where_the_mean_is_large() -> None:
    torch = pytest.importorskip('torch')
    x = 1000 + jax.random.normal(jax.random.key(0), (4, 64))
    norm = layer_norm('norm')
    ours = applied(norm, norm.init(jax.random.key(0), x), x)
    exact = torch.nn.functional.layer_norm(torch.from_numpy(np.float64(x)), (64,), eps=1e-6)
    np.testing.assert_allclose(ours, exact, atol=2e-3)


@pytest.mark.usefixtures('float64')
def test_second_derivatives_are_flax_s() -> None:
    params, x = drawn(3, dtype='float64')

    def curvature(norm: Any, x: jax.Array) -> jax.Array:
        def slope(x: jax.Array) -> jax.Array:
            return jax.grad(lambda x: jnp.sin(norm.apply({'params': params}, x)).sum())(x)

        return jax.grad(lambda x: jnp.square(slope(x)).sum())(x)

    norms = layer_norm('norm', epsilon=1e-3), flax_norm()
    found, expected = jax.jit(lambda x: [curvature(norm, x) for norm in norms])(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_gradient_on_a_cpu_takes_no_more_memory_than_flax_s() -> None:
    given = drawn(32, 17)
    ours, theirs = (
        memory(jax.jit(value_and_gradients(norm)).lower(*given).compile()).temporaries
        for norm in (layer_norm('norm'), flax_norm())
    )
    assert ours < theirs / 2


def test_only_programs_for_cpus_hold_the_products() -> None:
    block: Any = TransformerBlock(2, 16)
    x = jax.ShapeDtypeStruct((3, 5, 8), 'float32')
    variables = jax.eval_shape(block.init, jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda variables, x: block.apply(variables, x).sum(), (0, 1)))
    traced = gradient.trace(variables, x)
    products = {
        name: traced.lower(lowering_platforms=(name,)).as_text().count('stablehlo.dot_general')
        for name in ('cpu', 'tpu', 'cuda')
    }
    # Of both norms: two means, once for the value and once more, and two sums of the gradient.
    assert products['cpu'] == products['tpu'] + 2 * 6
    assert products['tpu'] == products['cuda']
