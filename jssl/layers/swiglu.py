"""The gated feed-forward network of large vision transformers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType
from jssl.layers.rows import by_rows


class SwiGLU(Checked, nn.Module):
    """w3(silu(w1 x) * (w2 x)) (Shazeer 2020, "GLU Variants Improve Transformer", equation 6).

    Attributes:
      channels: hidden width of the network with GELU in whose place it stands. Its own is two
        thirds of that, so that it has as many parameters, rounded up to a multiple of 8.
      fused: one layer `w12` for w1 and w2, its first half w1, as in DINOv2; else `w1` and `w2`, as
        in DINOv3.
      kernel_init: initial weights.
      bias_init: initial biases.
      dtype: of the computation; None follows the input.
    """

    channels: Count
    fused: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., C) -> (..., C)."""
        return by_rows(self._network, x)

    def _network(self, x: jax.Array) -> jax.Array:
        hidden = -(-int(self.channels * 2 / 3) // 8) * 8
        if self.fused:
            gate, value = jnp.split(self._linear(2 * hidden, 'w12')(x), 2, axis=-1)
        else:
            gate, value = (self._linear(hidden, name)(x) for name in ('w1', 'w2'))
        return self._linear(x.shape[-1], 'w3')(nn.silu(gate) * value)

    def _linear(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(
            features,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            name=name,
        )
