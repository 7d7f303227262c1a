"""The initial values the reference gives to its layers."""

import jax
import jax.numpy as jnp
from flax.linen import initializers

# He et al. 2015, for convolutions followed by ReLU: normal with std sqrt(2 / fan_out).
kaiming_normal = initializers.variance_scaling(2.0, 'fan_out', 'normal')

# PyTorch's default for linear layers: uniform in +-1/sqrt(fan_in).
torch_linear = initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def torch_linear_bias(fan_in: int) -> initializers.Initializer:
    """PyTorch's default bias: uniform in +-1/sqrt(fan_in) of the layer it belongs to."""
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
