"""Residual networks with the reference's geometry and parameter names.

Sub-modules carry the dotted names of the reference (``layer1.0``, ``downsample.1``), which are
also torchvision's, so that weights, optimizer keys and messages speak of the same thing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Natural, Stages, distinct
from jssl.errors import JsslError, show, suggest
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.conv import convolve
from jssl.layers.initializers import kaiming_normal
from jssl.layers.pooling import max_pool
from jssl.reference import Reference


def conv(
    features: int,
    kernel: int,
    stride: int,
    dtype: jnp.dtype | None,
    name: str,
    groups: int = 1,
) -> nn.Conv:
    """A convolution without bias, padded symmetrically (SAME is lop-sided where it strides)."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=kernel // 2,
        feature_group_count=groups,
        use_bias=False,
        kernel_init=kaiming_normal,
        dtype=dtype,
        conv_general_dilated=convolve,
        name=name,
    )


class BasicBlock(Checked, nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5 left).

    Attributes:
      channels: width of the convolutions; the block's output has as many.
      stride: of the first convolution.
      norm: makes a batch norm from its name.
      avg_down: whether the shortcut strides by averaging.
      zero_init_residual: whether the closing batch norm starts with scale 0.
    """

    channels: Count
    stride: Count
    norm: partial[BatchNorm]
    avg_down: bool = False
    zero_init_residual: bool = False
    dtype: DType | None = None
    expansion = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, h, w, c) -> (B, h / stride, w / stride, channels)."""
        y = conv(self.channels, 3, self.stride, self.dtype, 'conv1')(x)
        y = nn.relu(self.norm(name='bn1')(y, train))
        y = conv(self.channels, 3, 1, self.dtype, 'conv2')(y)
        y = self.norm(name='bn2', scale_init=_closing_scale(self.zero_init_residual))(y, train)
        return nn.relu(y + _shortcut(self, x, y.shape, train))


class Bottleneck(Checked, nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut (He et al. 2016, figure 5 right).

    Attributes:
      channels: a quarter of the block's width, and that of the 3x3 convolution if not told.
      stride: of the 3x3 convolution (style 'pytorch') or the first 1x1 (style 'caffe').
      norm: makes a batch norm from its name.
      width: of the 3x3 convolution; None for `channels`.
      groups: of that convolution (Xie et al. 2017).
      avg_down: whether the shortcut strides by averaging.
      style: where the block strides.
      zero_init_residual: whether the closing batch norm starts with scale 0.
    """

    channels: Count
    stride: Count
    norm: partial[BatchNorm]
    width: Count | None = None
    groups: Count = 1
    avg_down: bool = False
    style: str = 'pytorch'
    zero_init_residual: bool = False
    dtype: DType | None = None
    expansion = 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, h, w, c) -> (B, h / stride, w / stride, 4 * channels)."""
        first, second = (1, self.stride) if self.style == 'pytorch' else (self.stride, 1)
        width = self.width or self.channels
        y = conv(width, 1, first, self.dtype, 'conv1')(x)
        y = nn.relu(self.norm(name='bn1')(y, train))
        y = conv(width, 3, second, self.dtype, 'conv2', self.groups)(y)
        y = nn.relu(self.norm(name='bn2')(y, train))
        y = conv(4 * self.channels, 1, 1, self.dtype, 'conv3')(y)
        y = self.norm(name='bn3', scale_init=_closing_scale(self.zero_init_residual))(y, train)
        return nn.relu(y + _shortcut(self, x, y.shape, train))


Block = BasicBlock | Bottleneck


def _closing_scale(zero: bool) -> nn.initializers.Initializer:
    return nn.initializers.zeros if zero else nn.initializers.ones


def _shortcut(block: Block, x: jax.Array, shape: tuple[int, ...], train: bool) -> jax.Array:
    """The identity, or a strided 1x1 projection where the shape changes.

    With `avg_down` averaging strides, which takes the first place in the reference's sequence.
    """
    if x.shape == shape:
        return x
    stride, place = block.stride, 0
    if block.avg_down and stride > 1:
        x, stride, place = average(x, stride), 1, 1
    x = conv(shape[-1], 1, stride, block.dtype, f'downsample.{place}')(x)
    return block.norm(name=f'downsample.{place + 1}')(x, train)


def average(x: jax.Array, stride: int) -> jax.Array:
    """Means over squares of that side; those cut off by the border are over what they have."""
    missing = [(0, -side % stride) for side in x.shape[1:3]]
    return nn.avg_pool(x, (stride,) * 2, (stride,) * 2, missing, count_include_pad=False)


LAYOUTS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def _of_mmpretrain(fields: dict[str, Any]) -> dict[str, Any]:
    """MMPretrain counts stages from 0, and the last norm of each block begins with 0."""
    indices = fields.get('out_indices', (3,))
    if isinstance(indices, list | tuple):
        indices = [index + 1 if isinstance(index, int) else index for index in indices]
    return {'zero_init_residual': True} | fields | {'out_indices': indices}


class ResNet(Checked, nn.Module):
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
      frozen_stages: -1 trains everything; 0 freezes the stem; i the first i stages too. Frozen
        batch norms use, and keep, their running statistics.
      norm_eval: whether all batch norms do so, while their scales and biases are trained.
      remat: compute each block again in the backward pass instead of keeping its activations.
      dtype: of the computation (parameters stay as they are); None follows the input.

    Raises:
      JsslError: at construction, for a depth, style, out_indices or frozen_stages that does not
        exist.
    """

    depth: Count = 50
    base_channels: Count = 64
    strides: Sequence[Count] = (1, 2, 2, 2)
    out_indices: Sequence[Natural] = (4,)
    style: str = 'pytorch'
    cifar_stem: bool = False
    cifar_stem_stride: Count = 1
    zero_init_residual: bool = False
    bn_group_size: Count | None = None
    frozen_stages: Stages = -1
    norm_eval: bool = False
    remat: bool = False
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(
        fixed={'in_channels': 3, 'num_stages': 4, 'conv_cfg': None},
        norm='BN',
        releases={'mmpretrain': _of_mmpretrain},
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        if self.depth not in LAYOUTS:
            hint = suggest(str(self.depth), map(str, LAYOUTS))
            raise JsslError(f'ResNet has no depth={self.depth!r}. {hint}')
        if self.style not in ('pytorch', 'caffe'):
            raise JsslError(f"ResNet style={self.style!r} must be 'pytorch' or 'caffe'.")
        if not 1 <= len(self.strides) <= 4:
            raise JsslError(f'ResNet strides={show(self.strides)} must name one to four stages.')
        if not distinct(self.out_indices, range(len(self.strides) + 1)):
            raise JsslError(
                f'ResNet out_indices={show(self.out_indices)} must be some of 0 (stem) to '
                f'{len(self.strides)} (last stage).'
            )
        if self.frozen_stages > len(self.strides):
            raise JsslError(
                f'ResNet frozen_stages={self.frozen_stages} must be -1 (none), 0 (stem) to '
                f'{len(self.strides)} (all stages).'
            )

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array, ...]:
        """Features of `images`; `train` normalises by, and records, the batch's statistics."""
        norm = partial(BatchNorm, group_size=self.bn_group_size, dtype=self.dtype)
        x = self._freeze(self._stem(images, norm, self._adapts(0, train)), 0)
        features = [x]
        if not self.cifar_stem:
            x = max_pool(x, side=3, stride=2, padding=1)
        for stage in range(1, len(self.strides) + 1):
            x = self._freeze(self._stage(x, stage, norm, self._adapts(stage, train)), stage)
            features.append(x)
        return tuple(features[index] for index in self.out_indices)

    def _adapts(self, stage: int, train: bool) -> bool:
        """Whether the batch norms of a stage go by the batch's statistics."""
        return train and not self.norm_eval and stage > self.frozen_stages

    def _freeze(self, x: jax.Array, stage: int) -> jax.Array:
        return jax.lax.stop_gradient(x) if stage <= self.frozen_stages else x

    def _stem(self, images: jax.Array, norm: partial[BatchNorm], train: bool) -> jax.Array:
        kernel, stride = (3, self.cifar_stem_stride) if self.cifar_stem else (7, 2)
        x = conv(self.base_channels, kernel, stride, self.dtype, 'conv1')(images)
        return nn.relu(norm(name='bn1')(x, train))

    def _stage(self, x: jax.Array, stage: int, norm: partial[BatchNorm], train: bool) -> jax.Array:
        block, counts = LAYOUTS[self.depth]
        options = self._block_options(self.base_channels * 2 ** (stage - 1))
        if self.remat:
            block = nn.remat(block, static_argnums=2)
        for index in range(counts[stage - 1]):
            x = block(
                stride=self.strides[stage - 1] if index == 0 else 1,
                norm=norm,
                zero_init_residual=self.zero_init_residual,
                dtype=self.dtype,
                name=f'layer{stage}.{index}',
                **options,
            )(x, train)
        return x

    def _block_options(self, channels: int) -> dict[str, Any]:
        """The further fields of the blocks of a stage."""
        bottleneck = LAYOUTS[self.depth][0] is Bottleneck
        return {'channels': channels} | ({'style': self.style} if bottleneck else {})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The module that each stage ends with, in order; they are counted from 1."""
        counts = LAYOUTS[self.depth][1][: len(self.strides)]
        return tuple(f'layer{stage}.{count - 1}' for stage, count in enumerate(counts, 1))

    @nn.nowrap
    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name`, such as ``layer1.0.bn1.scale``, is not trained."""
        stage = name.removeprefix('layer').split('.')[0]
        return (int(stage) if stage.isdecimal() else 0) <= self.frozen_stages
