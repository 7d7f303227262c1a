"""Scaled dot-product attention, and multi-head self-attention with a joint projection."""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Positive
from jssl.errors import JsslError
from jssl.layers.layer_norm import layer_norm
from jssl.layers.rotary import Rotation, rotate
from jssl.layers.rows import by_rows

Implementation = Literal['xla', 'cudnn'] | None


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None = None,
    implementation: Implementation = None,
) -> jax.Array:
    """softmax(q k^T / sqrt(d) + bias) v (Vaswani et al. 2017, equation 1), softmax in float32.

    Args:
      query: (B, N, heads, d), or (B, windows, N, heads, d) for attention within windows.
      key: as `query`, with its own N.
      value: as `key`.
      bias: added to the scaled logits: broadcastable to (B, heads, N, N), or with windows to
        (windows, heads, N, N).
      implementation: of `jax.nn.dot_product_attention`: 'xla', 'cudnn' or None for its choice.

    Returns:
      As `query`.

    Raises:
      JsslError: for an implementation that does not exist.
    """
    if implementation not in (None, 'xla', 'cudnn'):
        raise JsslError(
            f"config.model.backbone.implementation={implementation!r} must be 'xla', 'cudnn' or "
            'None.'
        )
    if query.ndim == 5:
        in_windows = functools.partial(attend, bias=bias, implementation=implementation)
        return jax.vmap(in_windows)(query, key, value)
    if query.dtype != jnp.float64:
        return jax.nn.dot_product_attention(
            query, key, value, bias=bias, implementation=implementation
        )
    # JAX's own takes the softmax in float32 whatever comes in: too coarse for float64.
    logits = jnp.einsum('bnhd,bmhd->bhnm', query, key) * query.shape[-1] ** -0.5
    logits = logits if bias is None else logits + bias
    return jnp.einsum('bhnm,bmhd->bnhd', nn.softmax(logits), value)


class SelfAttention(Checked, nn.Module):
    """Multi-head self-attention; `qkv` gives query, key and value side by side, then `proj`.

    Attributes:
      num_heads: number of heads; must divide the channels.
      qkv_bias: True for one bias of the joint projection; False for `q_bias` and `v_bias` as
        parameters of their own and no bias of the key, as CAE and BEiT have it.
      mask_k_bias: leave out the key's third of the joint bias, which stays a parameter and gets no
        gradient, as in DINOv3; without rotary positions the softmax does not see it anyway.
      sub_norm: whether a layer norm `ln` stands before `proj`, as in EVA-02-CLIP.
      norm_epsilon: of that.
      qkv_init: initial values of the joint projection.
      proj_init: initial values of the output projection.
      implementation: see `attend`.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    qkv_bias: bool = True
    mask_k_bias: bool = False
    sub_norm: bool = False
    norm_epsilon: Positive = 1e-6
    qkv_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    proj_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, bias: jax.Array | None = None, rotation: Rotation | None = None
    ) -> jax.Array:
        """(B, N, C) or (B, windows, N, C) -> the same; `bias` as in `attend`.

        With `rotation` queries and keys go through `jssl.layers.rotary.rotate`.

        Raises:
          JsslError: if the number of heads does not divide the channels.
        """
        channels = x.shape[-1]
        if channels % self.num_heads:
            raise JsslError(
                f'num_heads={self.num_heads} does not divide the {channels} channels of the '
                'attention; choose a divisor, or other embed_dims.'
            )
        shape = (*x.shape[:-1], self.num_heads, channels // self.num_heads)
        parts = jnp.split(self._joint_projection(x), 3, axis=-1)
        query, key, value = (part.reshape(shape) for part in parts)
        if rotation is not None:
            query, key = (rotate(part, rotation) for part in (query, key))
        mixed = attend(query, key, value, bias, self.implementation).reshape(x.shape)
        if self.sub_norm:
            mixed = layer_norm('ln', self.dtype, self.norm_epsilon)(mixed)
        proj = nn.Dense(channels, kernel_init=self.proj_init, dtype=self.dtype, name='proj')
        return by_rows(proj, mixed)

    def _joint_projection(self, x: jax.Array) -> jax.Array:
        """(..., C) -> (..., 3 C)."""
        channels = x.shape[-1]
        qkv = _JointProjection(
            channels,
            use_bias=self.qkv_bias,
            mask_k_bias=self.mask_k_bias,
            kernel_init=self.qkv_init,
            dtype=self.dtype,
            name='qkv',
        )
        joint = by_rows(qkv, x)
        if self.qkv_bias:
            return joint
        query, value = (
            self.param(name, nn.initializers.zeros, (channels,)) for name in ('q_bias', 'v_bias')
        )
        bias = jnp.concatenate([query, jnp.zeros_like(query), value])
        return joint + bias.astype(joint.dtype)


class _JointProjection(nn.Module):
    """Query, key and value of rows (N, C) side by side, (N, 3 C); fields as of `SelfAttention`."""

    channels: int
    use_bias: bool
    mask_k_bias: bool
    kernel_init: nn.initializers.Initializer
    dtype: DType | None

    @nn.compact
    def __call__(self, rows: jax.Array) -> jax.Array:
        shape = (rows.shape[-1], 3 * self.channels)
        kernel = self.param('kernel', self.kernel_init, shape)
        bias = self.param('bias', nn.initializers.zeros, shape[1:]) if self.use_bias else None
        if self.mask_k_bias and bias is not None:
            bias = bias.at[self.channels : 2 * self.channels].set(0)
        rows, kernel, bias = nn.dtypes.promote_dtype(rows, kernel, bias, dtype=self.dtype)
        joint = rows @ kernel
        return joint if bias is None else joint + bias
