"""The pre-norm transformer block that the vision transformers share, and the patch embedding."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType, NonNegative, Positive
from jssl.layers.attention import Implementation, SelfAttention
from jssl.layers.drop_path import DropPath, run_on_some
from jssl.layers.initializers import xavier_uniform
from jssl.layers.layer_norm import LayerNorm, layer_norm
from jssl.layers.patches import check_divides
from jssl.layers.relative_attention import RelativeAttention
from jssl.layers.rotary import Rotation
from jssl.layers.rows import by_rows, split_rows
from jssl.layers.swiglu import SwiGLU

FeedForwardKind = Literal['mlp', 'swiglu', 'swiglu_fused']
Activation = Literal['gelu', 'gelu_tanh']


def zero_bias(fan_in: int) -> nn.initializers.Initializer:
    """Biases that start at 0, however many numbers the layer adds up."""
    del fan_in
    return nn.initializers.zeros


@dataclasses.dataclass(frozen=True)
class TransformerInit:
    """The initial values of patch projection, blocks and tokens; other biases start at 0.

    Attributes:
      patch: of the patch projection's kernel (p, p, c, C).
      patch_bias: of its bias, given how many numbers a patch has.
      qkv: of the joint projection.
      kernel: of the other linear layers.
      ffn_bias: of both layers of the feed-forward network.
      token: of the class token, the registers and, unless `mask_token` is given, the mask token.
      mask_token: of the mask token alone.
    """

    patch: nn.initializers.Initializer = xavier_uniform
    patch_bias: Callable[[int], nn.initializers.Initializer] = zero_bias
    qkv: nn.initializers.Initializer = xavier_uniform
    kernel: nn.initializers.Initializer = xavier_uniform
    ffn_bias: nn.initializers.Initializer = nn.initializers.zeros
    token: nn.initializers.Initializer = nn.initializers.normal(0.02)  # noqa: RUF009  a function
    mask_token: nn.initializers.Initializer | None = None


class FeedForward(Checked, nn.Module):
    """Linear, GELU, linear; the layers are called ``layers.0.0`` and ``layers.1``.

    Attributes:
      channels: hidden width.
      activation: 'gelu', the exact one, or 'gelu_tanh', its approximation.
      sub_norm: whether a layer norm `ln` stands before the second layer.
      norm_epsilon: of that.
      kernel_init: initial weights.
      bias_init: initial biases.
      dtype: of the computation; None follows the input.
    """

    channels: Count
    kernel_init: nn.initializers.Initializer
    activation: Activation = 'gelu'
    sub_norm: bool = False
    norm_epsilon: Positive = 1e-6
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., C) -> (..., C)."""
        return by_rows(self._network, x)

    def _network(self, x: jax.Array) -> jax.Array:
        hidden = self._linear(self.channels, 'layers.0.0')(x)
        hidden = nn.gelu(hidden, approximate=self.activation == 'gelu_tanh')
        hidden = (
            layer_norm('ln', self.dtype, self.norm_epsilon)(hidden) if self.sub_norm else hidden
        )
        return self._linear(x.shape[-1], 'layers.1')(hidden)

    def _linear(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(
            features,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            name=name,
        )


class TransformerBlock(Checked, nn.Module):
    """x += gamma_1 Attention(LN(x)); x += gamma_2 FFN(LN(x)) (Dosovitskiy et al. 2021, eq. 2, 3).

    Attributes:
      num_heads: heads of the attention.
      feedforward_channels: hidden width of the feed-forward network.
      qkv_bias: see `SelfAttention`.
      mask_k_bias: see `SelfAttention`.
      attn_sub_norm: `sub_norm` of `SelfAttention`.
      ffn: 'mlp' for `FeedForward`, 'swiglu' and 'swiglu_fused' for the two layouts of `SwiGLU`.
      ffn_sub_norm: `sub_norm` of the feed-forward network.
      activation: of 'mlp', see `FeedForward`.
      swiglu_multiple: see `SwiGLU`.
      layer_scale: initial value of the scales gamma (Touvron et al. 2021, section 2); None for
        blocks without them.
      relative_side: patches along a side of the image, of which the attention learns a bias for
        every relative position; None for none.
      init_values: of the linear layers.
      norm_epsilon: of the layer norms.
      implementation: of the attention, see `attend`.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    feedforward_channels: Count
    qkv_bias: bool = True
    mask_k_bias: bool = False
    attn_sub_norm: bool = False
    ffn: FeedForwardKind = 'mlp'
    ffn_sub_norm: bool = False
    activation: Activation = 'gelu'
    swiglu_multiple: Count = 8
    layer_scale: NonNegative | None = None
    relative_side: Count | None = None
    init_values: TransformerInit = TransformerInit()
    norm_epsilon: Positive = 1e-6
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        drop_rate: jax.Array | float | None = None,
        subsets: jax.Array | None = None,
        rotation: Rotation | None = None,
        bias: jax.Array | None = None,
    ) -> jax.Array:
        """(B, N, C) -> (B, N, C).

        Args:
          x: tokens.
          drop_rate: with which both branches go through `DropPath`; None for none.
          subsets: int (2, groups, kept), the samples that each branch runs on, see `run_on_some`;
            None for all.
          rotation: of queries and keys, see `jssl.layers.rotary.rotate`.
          bias: of the attention, (1, heads, N, N); None for none, or that of `relative_side`.
        """

        def attention(x: jax.Array) -> jax.Array:
            return self._scaled(self._attention()(self._norm('ln1')(x), bias, rotation), 'gamma_1')

        def feed_forward(x: jax.Array) -> jax.Array:
            return self._scaled(self._feed_forward()(self._norm('ln2')(x)), 'gamma_2')

        # Where parameters are split too, XLA would otherwise gather all tokens in every block.
        x = split_rows(x)
        for index, branch in enumerate((attention, feed_forward)):
            if subsets is None:
                x += DropPath()(branch(x), drop_rate)
            else:
                x = run_on_some(branch, x, subsets[index])
        return x

    def _norm(self, name: str) -> LayerNorm:
        return layer_norm(name, self.dtype, self.norm_epsilon)

    def _feed_forward(self) -> nn.Module:
        fields: Any = dict(
            channels=self.feedforward_channels,
            kernel_init=self.init_values.kernel,
            bias_init=self.init_values.ffn_bias,
            sub_norm=self.ffn_sub_norm,
            norm_epsilon=self.norm_epsilon,
            dtype=self.dtype,
            name='ffn',
        )
        if self.ffn == 'mlp':
            return FeedForward(activation=self.activation, **fields)
        return SwiGLU(fused=self.ffn == 'swiglu_fused', multiple=self.swiglu_multiple, **fields)

    def _attention(self) -> nn.Module:
        fields: Any = dict(
            num_heads=self.num_heads,
            qkv_bias=self.qkv_bias,
            mask_k_bias=self.mask_k_bias,
            sub_norm=self.attn_sub_norm,
            norm_epsilon=self.norm_epsilon,
            qkv_init=self.init_values.qkv,
            proj_init=self.init_values.kernel,
            implementation=self.implementation,
            dtype=self.dtype,
            name='attn',
        )
        if self.relative_side is None:
            return SelfAttention(**fields)
        return RelativeAttention(side=self.relative_side, cls_token=True, **fields)

    def _scaled(self, branch: jax.Array, name: str) -> jax.Array:
        if self.layer_scale is None:
            return branch
        fill = nn.initializers.constant(self.layer_scale)
        return branch * self.param(name, fill, branch.shape[-1:]).astype(branch.dtype)


def scan_blocks(block: nn.Module, x: jax.Array, length: int, *options: Any) -> jax.Array:
    """As many blocks one after the other, as a loop over one: compiled once, parameters stacked.

    Args:
      block: a `TransformerBlock`, perhaps rematerialised.
      x: (B, N, C).
      length: how many blocks.
      options: further arguments of the block, each stacked (length, ...) or None.
    """
    loop = nn.scan(
        lambda block, x, options: (block(x, *options), None),
        variable_axes={'params': 0},
        split_rngs={'params': True, 'drop_path': True},
        length=length,
    )
    return loop(block, x, options)[0]


class PatchProjection(Checked, nn.Module):
    """A convolution of stride and kernel `patch_size` as a product of matrices, which is faster.

    Attributes:
      channels: width of the tokens.
      patch_size: side of a patch in pixels.
      kernel_init: initial values of the kernel (p, p, c, C), laid out as a convolution's.
      bias_init: initial values of the bias, given how many numbers a patch has.
      dtype: of the computation; None follows the input.
    """

    channels: Count
    patch_size: Count
    kernel_init: nn.initializers.Initializer
    bias_init: Callable[[int], nn.initializers.Initializer] = zero_bias
    dtype: DType | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """(B, H, W, c) -> (B, H / p, W / p, C)."""
        batch, height, width, depth = images.shape
        p = self.patch_size
        check_divides(height, width, p, 'config.model.backbone.patch_size')
        kernel = self.param('kernel', self.kernel_init, (p, p, depth, self.channels))
        bias = self.param('bias', self.bias_init(p * p * depth), (self.channels,))
        images, kernel, bias = nn.dtypes.promote_dtype(images, kernel, bias, dtype=self.dtype)
        patches = images.reshape(batch, height // p, p, width // p, p, depth).swapaxes(2, 3)
        flat = patches.reshape(batch, height // p, width // p, -1)
        return by_rows(lambda rows: rows @ kernel.reshape(-1, self.channels) + bias, flat)


class PatchEmbedding(Checked, nn.Module):
    """Images to tokens: a projection of patches, with a layer norm after it where asked for.

    Attributes:
      channels: width of the tokens.
      patch_size: side of a patch in pixels.
      norm: whether a layer norm follows, as in Swin.
      kernel_init: initial values of the projection's kernel (p, p, c, C).
      bias_init: initial values of its bias, given how many numbers a patch has.
      dtype: of the computation; None follows the input.
    """

    channels: Count
    patch_size: Count
    norm: bool = False
    kernel_init: nn.initializers.Initializer = xavier_uniform
    bias_init: Callable[[int], nn.initializers.Initializer] = zero_bias
    dtype: DType | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """(B, H, W, c) -> (B, H / p, W / p, C)."""
        tokens = PatchProjection(
            self.channels,
            self.patch_size,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            name='projection',
        )(images)
        return layer_norm('norm', self.dtype, 1e-5)(tokens) if self.norm else tokens
