"""Multi-head attention of one set of tokens to another."""

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType
from jssl.errors import JsslError
from jssl.layers.attention import Implementation, attend
from jssl.layers.initializers import xavier_uniform
from jssl.layers.rows import by_rows


class CrossAttention(Checked, nn.Module):
    """Queries attend to keys and values; a bias for query and value, none for the key.

    The linear layers are called `q`, `k`, `v` and `proj`, the biases `q_bias` and `v_bias`.

    Attributes:
      num_heads: number of heads; must divide the channels.
      implementation: see `attend`.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(self, query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        """Tokens (B, n, C), (B, m, C) and (B, m, C) -> (B, n, C).

        Raises:
          JsslError: if the number of heads does not divide the channels.
        """
        channels = query.shape[-1]
        if channels % self.num_heads:
            raise JsslError(
                f'config.model.neck.num_heads={self.num_heads} does not divide the {channels} '
                'channels of the attention; choose a divisor, or other embed_dims.'
            )
        parts = (self._project(name, x) for name, x in (('q', query), ('k', key), ('v', value)))
        queries, keys, values = (
            part.reshape(*part.shape[:2], self.num_heads, -1) for part in parts
        )
        mixed = attend(queries, keys, values, implementation=self.implementation)
        project = nn.Dense(channels, kernel_init=xavier_uniform, dtype=self.dtype, name='proj')
        return by_rows(project, mixed.reshape(query.shape))

    def _project(self, name: str, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        linear = nn.Dense(
            channels, use_bias=False, kernel_init=xavier_uniform, dtype=self.dtype, name=name
        )
        projected = by_rows(linear, x)
        if name == 'k':
            return projected
        bias = self.param(f'{name}_bias', nn.initializers.zeros, (channels,))
        return projected + bias.astype(projected.dtype)
