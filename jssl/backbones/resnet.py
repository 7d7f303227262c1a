"""Residual networks with the reference's geometry and parameter names.

Sub-modules carry the dotted names of the reference (``layer1.0``, ``downsample.1``), which are
also torchvision's, so that weights, optimizer keys and messages speak of the same thing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.errors import JsslError, suggest
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.initializers import kaiming_normal


def _conv(features: int, kernel: int, stride: int, dtype: jnp.dtype | None, name: str) -> nn.Conv:
    """A convolution without bias, padded symmetrically (SAME is lop-sided where it strides)."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=kernel // 2,
        use_bias=False,
        kernel_init=kaiming_normal,
        dtype=dtype,
        name=name,
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5 left).

    Attributes:
      channels: width of the convolutions; the block's output has as many.
      stride: of the first convolution.
      norm: makes a batch norm from its name.
      zero_init_residual: whether the closing batch norm starts with scale 0.
    """

    channels: int
    stride: int
    norm: partial[BatchNorm]
    zero_init_residual: bool = False
    dtype: jnp.dtype | None = None
    expansion = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, h, w, c) -> (B, h / stride, w / stride, channels)."""
        y = _conv(self.channels, 3, self.stride, self.dtype, 'conv1')(x)
        y = nn.relu(self.norm(name='bn1')(y, train))
        y = _conv(self.channels, 3, 1, self.dtype, 'conv2')(y)
        y = self.norm(name='bn2', scale_init=_closing_scale(self.zero_init_residual))(y, train)
        return nn.relu(y + _shortcut(self, x, y.shape, train))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut (He et al. 2016, figure 5 right).

    Attributes:
      channels: width of the 3x3 convolution; the block's output has four times as many.
      stride: of the 3x3 convolution (style 'pytorch') or the first 1x1 (style 'caffe').
      norm: makes a batch norm from its name.
      style: where the block strides.
      zero_init_residual: whether the closing batch norm starts with scale 0.
    """

    channels: int
    stride: int
    norm: partial[BatchNorm]
    style: str = 'pytorch'
    zero_init_residual: bool = False
    dtype: jnp.dtype | None = None
    expansion = 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, h, w, c) -> (B, h / stride, w / stride, 4 * channels)."""
        first, second = (1, self.stride) if self.style == 'pytorch' else (self.stride, 1)
        y = _conv(self.channels, 1, first, self.dtype, 'conv1')(x)
        y = nn.relu(self.norm(name='bn1')(y, train))
        y = _conv(self.channels, 3, second, self.dtype, 'conv2')(y)
        y = nn.relu(self.norm(name='bn2')(y, train))
        y = _conv(4 * self.channels, 1, 1, self.dtype, 'conv3')(y)
        y = self.norm(name='bn3', scale_init=_closing_scale(self.zero_init_residual))(y, train)
        return nn.relu(y + _shortcut(self, x, y.shape, train))


Block = BasicBlock | Bottleneck


def _closing_scale(zero: bool) -> nn.initializers.Initializer:
    return nn.initializers.zeros if zero else nn.initializers.ones


def _shortcut(block: Block, x: jax.Array, shape: tuple[int, ...], train: bool) -> jax.Array:
    """The identity, or a strided 1x1 projection where the shape changes."""
    if x.shape == shape:
        return x
    x = _conv(shape[-1], 1, block.stride, block.dtype, 'downsample.0')(x)
    return block.norm(name='downsample.1')(x, train)


LAYOUTS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """ResNet (He et al. 2016), images (B, H, W, C) -> tuple of maps (B, h, w, c).

    Attributes:
      depth: 18, 34, 50, 101 or 152; 10 has one basic block a stage, for small experiments.
      base_channels: width of the stem and of the first stage; each later stage doubles it.
      strides: of the first block of each stage; as many stages are built as there are strides.
      out_indices: outputs to return: 0 is the stem before pooling, i the i-th stage.
      style: where a bottleneck strides, 'pytorch' (3x3) or 'caffe' (1x1).
      cifar_stem: a 3x3 stem without pooling, for images of 32 to 64 px.
      cifar_stem_stride: of that stem; 2 makes small experiments several times cheaper.
      zero_init_residual: start every residual branch at 0 (Goyal et al. 2017, section 5.1).
      bn_group_size: samples per group of batch statistics; None for the whole batch.
      dtype: of the computation (parameters stay as they are); None follows the input.

    Raises:
      JsslError: at construction, for a depth, style or out_indices that does not exist.
    """

    depth: int = 50
    base_channels: int = 64
    strides: Sequence[int] = (1, 2, 2, 2)
    out_indices: Sequence[int] = (4,)
    style: str = 'pytorch'
    cifar_stem: bool = False
    cifar_stem_stride: int = 1
    zero_init_residual: bool = False
    bn_group_size: int | None = None
    dtype: jnp.dtype | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        if self.depth not in LAYOUTS:
            hint = suggest(str(self.depth), map(str, LAYOUTS))
            raise JsslError(f'ResNet has no depth={self.depth!r}. {hint}')
        if self.style not in ('pytorch', 'caffe'):
            raise JsslError(f"ResNet style={self.style!r} must be 'pytorch' or 'caffe'.")
        if not 1 <= len(self.strides) <= 4:
            raise JsslError(f'ResNet strides={self.strides!r} must name one to four stages.')
        if not set(self.out_indices) <= set(range(len(self.strides) + 1)) or not self.out_indices:
            raise JsslError(
                f'ResNet out_indices={self.out_indices!r} must be among 0 (stem) to '
                f'{len(self.strides)} (last stage).'
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array, ...]:
        """Features of `images`; `train` normalises by, and records, the batch's statistics."""
        norm = partial(BatchNorm, group_size=self.bn_group_size, dtype=self.dtype)
        kernel, stride = (3, self.cifar_stem_stride) if self.cifar_stem else (7, 2)
        x = _conv(self.base_channels, kernel, stride, self.dtype, 'conv1')(images)
        x = nn.relu(norm(name='bn1')(x, train))
        features = [x]
        if not self.cifar_stem:
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for stage in range(len(self.strides)):
            x = self._stage(x, stage, norm, train)
            features.append(x)
        return tuple(features[index] for index in self.out_indices)

    def _stage(self, x: jax.Array, stage: int, norm: partial[BatchNorm], train: bool) -> jax.Array:
        block, counts = LAYOUTS[self.depth]
        style: dict[str, Any] = {'style': self.style} if block is Bottleneck else {}
        for index in range(counts[stage]):
            x = block(
                channels=self.base_channels * 2**stage,
                stride=self.strides[stage] if index == 0 else 1,
                norm=norm,
                zero_init_residual=self.zero_init_residual,
                dtype=self.dtype,
                name=f'layer{stage + 1}.{index}',
                **style,
            )(x, train)
        return x
