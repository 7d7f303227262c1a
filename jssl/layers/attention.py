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
from jssl.layers.rows import by_rows, split_rows
from jssl.layers.widen import widen

Implementation = Literal['xla', 'cudnn'] | None
OLDEST_GPU = 8.0  # compute capability; Ampere


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
      implementation: 'xla', 'cudnn', or None for cuDNN's on GPUs where it fits: bfloat16, no bias,
        heads of up to 128 channels, a multiple of 8, and JAX for CUDA installed.

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
    if implementation == 'cudnn':
        return by_cudnn(query, key, value, bias)
    if implementation is None and bias is None and fits_cudnn(query):
        # Which of them runs follows from the platform that the program is compiled for.
        return jax.lax.platform_dependent(query, key, value, cuda=by_cudnn, default=_attend)
    return _attend(query, key, value, bias)


@jax.custom_vjp
def _attend(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array | None = None
) -> jax.Array:
    """`attend` in the products of XLA.

    Its gradient is written by hand: it keeps the weights as they were multiplied, and no other
    array of their size, and all products are of arrays of the type that came in.
    """
    return _forward(query, key, value, bias)[0]


Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None, jax.Array]


def _forward(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array | None = None
) -> tuple[jax.Array, Residuals]:
    scale = query.shape[-1] ** -0.5
    logits = _product('bnhd,bmhd->bhnm', query, key) * scale
    logits = logits if bias is None else logits + bias
    weights = nn.softmax(logits).astype(query.dtype)
    return jnp.einsum('bhnm,bmhd->bnhd', weights, value), (query, key, value, bias, weights)


def _backward(
    kept: Residuals, by_out: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    query, key, value, bias, weights = kept
    by_value = jnp.einsum('bhnm,bnhd->bmhd', weights, by_out)
    wide, by_weights = widen(weights), _product('bnhd,bmhd->bhnm', by_out, value)
    by_logits = wide * (by_weights - jnp.sum(wide * by_weights, axis=-1, keepdims=True))
    narrow = (by_logits * query.shape[-1] ** -0.5).astype(query.dtype)
    by_query = jnp.einsum('bhnm,bmhd->bnhd', narrow, key)
    by_key = jnp.einsum('bhnm,bnhd->bmhd', narrow, query)
    return by_query, by_key, by_value, None if bias is None else _summed(by_logits, bias)


_attend.defvjp(_forward, _backward)


def _product(equation: str, first: jax.Array, second: jax.Array) -> jax.Array:
    """`einsum` whose sums stay in at least float32."""
    wide = jnp.promote_types(first.dtype, jnp.float32)
    return jnp.einsum(equation, first, second, preferred_element_type=wide)


def _summed(by_logits: jax.Array, bias: jax.Array) -> jax.Array:
    """The gradient of a bias from that of what it was broadcast to."""
    _, back = jax.vjp(lambda one: jnp.broadcast_to(one, by_logits.shape), bias)
    return back(by_logits.astype(bias.dtype))[0]


def by_cudnn(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array | None = None
) -> jax.Array:
    """`attend` in one kernel of cuDNN's, which never writes the weights (Dao et al. 2022).

    Its gradient takes even numbers of tokens alone, so odd ones get a token that no one attends to.
    """
    attention = functools.partial(jax.nn.dot_product_attention, implementation='cudnn')
    # The kernel's partitioning asks for three equal ones, also where parameters are split.
    query, key, value = map(split_rows, (query, key, value))
    counts = query.shape[1], key.shape[1]
    if not (counts[0] % 2 or counts[1] % 2):
        return attention(query, key, value, bias)
    even = (jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, 0), (0, 0))) for x in (query, key, value))
    lengths = (jnp.full(len(query), count, jnp.int32) for count in counts)
    names = ('query_seq_lengths', 'key_value_seq_lengths')
    mixed = attention(*even, bias, **dict(zip(names, lengths, strict=True)))
    return mixed[:, : counts[0]]


def fits_cudnn(query: jax.Array) -> bool:
    """Whether cuDNN's kernel takes such queries, keys and values, and is there to be compiled."""
    width = query.shape[-1]
    return query.dtype == jnp.bfloat16 and width % 8 == 0 and width <= 128 and has_cudnn()


@functools.cache
def has_cudnn() -> bool:
    """Whether JAX finds cuDNN, and no GPU here that is too old for its attention.

    The GPU that a program is compiled for need not be here.
    """
    one = jax.ShapeDtypeStruct((1, 2, 1, 8), jnp.bfloat16)
    attention = functools.partial(jax.nn.dot_product_attention, implementation='cudnn')
    try:
        jax.eval_shape(attention, one, one, one)
    except RuntimeError:  # cuDNN is not detected
        return False
    try:
        here = jax.local_devices(backend='cuda')
    except RuntimeError:
        here = []
    return all(float(gpu.compute_capability) >= OLDEST_GPU for gpu in here)


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
