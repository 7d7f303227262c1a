"""Layer normalisation."""

import flax.linen as nn
import jax.numpy as jnp


def layer_norm(name: str, dtype: jnp.dtype | None = None, epsilon: float = 1e-6) -> nn.LayerNorm:
    """Layer normalisation (Ba et al. 2016) with its statistics in at least float32."""
    # The one-pass variance of the default loses digits where the mean is large.
    return nn.LayerNorm(epsilon=epsilon, dtype=dtype, use_fast_variance=False, name=name)
