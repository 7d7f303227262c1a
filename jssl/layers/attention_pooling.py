"""One vector of all tokens of an image, by attention."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Positive
from jssl.layers.attention import Implementation, attend
from jssl.layers.initializers import xavier_uniform
from jssl.layers.layer_norm import layer_norm
from jssl.layers.rows import by_rows
from jssl.layers.transformer import Activation, FeedForward


class AttentionPooling(Checked, nn.Module):
    """A learned query attends to the tokens; a feed-forward network follows (the "MAP head").

    Zhai et al. 2022, "Scaling Vision Transformers", section 3.2: p = Attention(query, x), and
    p + FFN(LN(p)).

    Attributes:
      num_heads: heads of the attention; they divide the channels.
      feedforward_channels: hidden width of the feed-forward network.
      activation: see `FeedForward`.
      norm_epsilon: of the layer norm.
      implementation: of the attention, see `attend`.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    feedforward_channels: Count
    activation: Activation = 'gelu_tanh'
    norm_epsilon: Positive = 1e-6
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, N, C) -> (B, C)."""
        batch, _, channels = x.shape
        latent = self.param('latent', nn.initializers.normal(channels**-0.5), (1, 1, channels))
        query = by_rows(self._linear(channels, 'q'), latent.astype(x.dtype))
        query = jnp.broadcast_to(query, (batch, 1, channels))
        joint = by_rows(self._linear(2 * channels, 'kv'), x)
        key, value = jnp.split(joint, 2, axis=-1)
        query, key, value = (
            part.reshape(batch, -1, self.num_heads, channels // self.num_heads)
            for part in (query, key, value)
        )
        mixed = attend(query, key, value, implementation=self.implementation)
        mixed = mixed.reshape(batch, 1, channels)
        pooled = by_rows(self._linear(channels, 'proj'), mixed)
        ffn = FeedForward(
            self.feedforward_channels,
            xavier_uniform,
            activation=self.activation,
            dtype=self.dtype,
            name='ffn',
        )
        pooled += ffn(layer_norm('ln', self.dtype, self.norm_epsilon)(pooled))
        return pooled[:, 0]

    def _linear(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, kernel_init=xavier_uniform, dtype=self.dtype, name=name)
