"""The initial values the reference gives to its layers."""

import math

import jax
import jax.numpy as jnp
from flax.linen import initializers

# He et al. 2015, for convolutions followed by ReLU: normal with std sqrt(2 / fan_out).
kaiming_normal = initializers.variance_scaling(2.0, 'fan_out', 'normal')

# The same variance, uniform in +-sqrt(6 / fan_out).
kaiming_uniform = initializers.variance_scaling(2.0, 'fan_out', 'uniform')

# PyTorch's default for linear layers and convolutions: uniform in +-1/sqrt(fan_in).
torch_linear = initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def torch_linear_bias(fan_in: int) -> initializers.Initializer:
    """PyTorch's default bias: uniform in +-1/sqrt(fan_in) of the layer it belongs to."""
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def xavier_uniform(
    key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32, *, matrices: int = 1
) -> jax.Array:
    """Glorot & Bengio 2010, equation 16: uniform in +-sqrt(6 / (fan_in + fan_out)).

    A patch projection (p, p, c, C) counts as the matrix (p * p * c, C) that it is.

    Args:
      key: PRNG key.
      shape: of the kernel; the last axis is the output.
      dtype: of the kernel.
      matrices: how many of equal width lie side by side in the last axis; 3 treats query, key and
        value of a joint projection each by itself.
    """
    bound = (6 / (math.prod(shape[:-1]) + shape[-1] // matrices)) ** 0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)
