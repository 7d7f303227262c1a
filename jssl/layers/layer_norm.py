"""Layer normalisation, with a gradient of its own on CPUs.

XLA's CPU backend takes longer for sums over the last axis than for products with a column, and
writes out copies of the whole array for them: two to three times as long in all. Accelerators keep
the plain formula.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, DType, Positive
from jssl.layers.platforms import Compute, on_cpu
from jssl.layers.widen import widen

Kept = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def layer_norm(name: str, dtype: jnp.dtype | None = None, epsilon: float = 1e-6) -> 'LayerNorm':
    """Layer normalisation with its statistics in at least float32; see `LayerNorm`."""
    return LayerNorm(epsilon=epsilon, dtype=dtype, name=name)


class LayerNorm(Checked, nn.Module):
    """Layer normalisation over the last axis, then a learned scale and bias (Ba et al. 2016).

    The variance is taken about the mean: that of one pass, as is flax's default, loses digits where
    the mean is large. There is no forward mode (`jax.jvp`), as of all that is chosen for CPUs.

    Attributes:
      epsilon: added to the variance.
      dtype: of the output; None for what the input and the parameters promote to.
    """

    epsilon: Positive = 1e-6
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., C) -> the same."""
        scale = self.param('scale', nn.initializers.ones, (x.shape[-1],))
        bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
        y = on_cpu(_by_products(self.epsilon), functools.partial(_plain, epsilon=self.epsilon))(
            x, scale, bias
        )
        return y.astype(nn.dtypes.canonicalize_dtype(x, scale, bias, dtype=self.dtype))


def _plain(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> jax.Array:
    wide = widen(x)
    centred = wide - wide.mean(-1, keepdims=True)
    var = jnp.square(centred).mean(-1, keepdims=True)
    return centred * (jax.lax.rsqrt(var + epsilon) * scale) + bias


def _by_products(epsilon: float) -> Compute:
    """The same on the rows of a matrix, whose sums over columns are products with a vector."""

    @jax.custom_vjp
    def function(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        return forward(x, scale, bias)[0]

    def forward(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, Kept]:
        rows = widen(x).reshape(-1, x.shape[-1])
        mean = _means(rows)
        inverse = jax.lax.rsqrt(_means(jnp.square(rows - mean)) + epsilon)
        y = (rows - mean) * inverse * scale + bias
        return y.reshape(x.shape), (x, scale, bias, mean, inverse)

    def backward(kept: Kept, given: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        x, scale, bias, centre, inverse = kept
        normal = (widen(x).reshape(-1, x.shape[-1]) - centre) * inverse
        by_y = given.reshape(normal.shape)
        by_scale = by_y * normal
        # The means of `by_y * scale`, and of that times `normal`, without an array for either.
        mean, along = (sums @ scale[:, None] / len(scale) for sums in (by_y, by_scale))
        by_x = inverse * (by_y * scale - mean - normal * along)
        return (
            by_x.reshape(x.shape).astype(x.dtype),
            by_scale.sum(0).astype(scale.dtype),
            by_y.sum(0).astype(bias.dtype),
        )

    function.defvjp(forward, backward)
    return function


def _means(rows: jax.Array) -> jax.Array:
    """(N, C) -> (N, 1)."""
    return rows @ jnp.ones((rows.shape[1], 1), rows.dtype) / rows.shape[1]
