"""ResNet-D: a stem of three convolutions, and shortcuts that stride by averaging."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax

from jssl.backbones.resnet import ResNet, conv
from jssl.layers.batch_norm import BatchNorm


class ResNetV1d(ResNet):
    """ResNet-D (He et al. 2019, figure 2c), images (B, H, W, C) -> tuple of maps (B, h, w, c).

    Where averaging comes first, the shortcut's convolution is called ``downsample.1`` and its batch
    norm ``downsample.2``: a key ``downsample.1`` meant for batch norms hits convolutions here.

    Attributes:
      depth, base_channels, ...: as `ResNet`.
    """

    def _stem(self, images: jax.Array, norm: partial[BatchNorm], train: bool) -> jax.Array:
        x = images
        half, first = self.base_channels // 2, self.cifar_stem_stride if self.cifar_stem else 2
        for index, (width, stride) in enumerate([(half, first), (half, 1), (2 * half, 1)]):
            x = conv(width, 3, stride, self.dtype, f'stem.{index}.conv')(x)
            x = nn.relu(norm(name=f'stem.{index}.bn')(x, train))
        return x

    def _block_options(self, channels: int) -> dict[str, Any]:
        return super()._block_options(channels) | {'avg_down': True}
