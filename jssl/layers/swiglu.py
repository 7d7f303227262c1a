"""The gated feed-forward network of large vision transformers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Positive
from jssl.layers.layer_norm import layer_norm
from jssl.layers.rows import by_rows


def gated_width(channels: int, multiple: int = 8) -> int:
    """Two thirds of `channels`, rounded up to a multiple of `multiple`; see `SwiGLU`."""
    return -(-int(channels * 2 / 3) // multiple) * multiple


class SwiGLU(Checked, nn.Module):
    """w3(LN(silu(w1 x) * (w2 x))) (Shazeer 2020, "GLU Variants Improve Transformer", equation 6).

    The norm is there with `sub_norm` alone (Wang et al. 2022, "Foundation Transformers").

    Attributes:
      channels: hidden width of the network with GELU in whose place it stands. Its own is two
        thirds of that, so that it has as many parameters, rounded up to a multiple of `multiple`.
      fused: one layer `w12` for w1 and w2, its first half w1, as in DINOv2; else `w1` and `w2`, as
        in DINOv3.
      multiple: see `channels`.
      sub_norm: whether a layer norm `ln` stands before the last layer, as in EVA-02.
      norm_epsilon: of that.
      kernel_init: initial weights.
      bias_init: initial biases.
      dtype: of the computation; None follows the input.
    """

    channels: Count
    fused: bool = False
    multiple: Count = 8
    sub_norm: bool = False
    norm_epsilon: Positive = 1e-6
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., C) -> (..., C)."""
        return by_rows(self._network, x)

    def _network(self, x: jax.Array) -> jax.Array:
        hidden = gated_width(self.channels, self.multiple)
        if self.fused:
            gate, value = jnp.split(self._linear(2 * hidden, 'w12')(x), 2, axis=-1)
        else:
            gate, value = (self._linear(hidden, name)(x) for name in ('w1', 'w2'))
        gated = nn.silu(gate) * value
        gated = layer_norm('ln', self.dtype, self.norm_epsilon)(gated) if self.sub_norm else gated
        return self._linear(x.shape[-1], 'w3')(gated)

    def _linear(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(
            features,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            name=name,
        )
