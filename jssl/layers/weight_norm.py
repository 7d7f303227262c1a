"""A linear layer whose outputs have a length of their own, apart from their direction."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count
from jssl.layers.initializers import torch_linear
from jssl.layers.widen import PRECISION, widen


class WeightNormLinear(Checked, nn.Module):
    """Column k of the matrix is ``g_k v_k / |v_k|`` (Salimans and Kingma 2016, eq. 2); no bias.

    Attributes:
      features: of the output.
      fixed_scale: whether g stays at its initial 1, so that unit inputs give cosines.
    """

    features: Count
    fixed_scale: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., C) -> (..., features), in at least float32."""
        v = self.param('weight_v', torch_linear, (x.shape[-1], self.features))
        g = self.param('weight_g', nn.initializers.ones, (1, self.features))
        if self.fixed_scale:
            g = jax.lax.stop_gradient(g)
        # Lengths go to the outputs: no array of the matrix's size is made for them, and XLA:CPU
        # took twenty times as long for a product with scaled columns.
        scale = g / jnp.linalg.norm(v, axis=0, keepdims=True)
        return jnp.matmul(widen(x), v, precision=PRECISION) * scale[0]
