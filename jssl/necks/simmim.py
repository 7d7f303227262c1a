"""The decoder of SimMIM: one linear layer."""

from typing import ClassVar

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType
from jssl.layers.initializers import torch_linear, torch_linear_bias
from jssl.necks.nonlinear import check_width
from jssl.reference import Reference


class SimMIMNeck(Checked, nn.Module):
    """A 1 x 1 convolution whose channels are the pixels below a token (Xie et al. 2022, 3.4).

    Attributes:
      in_channels: width of the last map, checked against what arrives.
      encoder_stride: pixels of the image a step of that map.
      out_channels: of the image.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    encoder_stride: Count = 32
    out_channels: Count = 3
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(types=('SimMIMLinearDecoder',))

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool = True) -> jax.Array:
        """The last map (B, h, w, in_channels) -> images (B, h * stride, w * stride, C)."""
        del train
        x = features[-1]
        check_width(self, x)
        decoder = nn.Conv(
            self.out_channels * self.encoder_stride**2,
            (1, 1),
            kernel_init=torch_linear,
            bias_init=torch_linear_bias(self.in_channels),
            dtype=self.dtype,
            name='decoder.0',
        )
        return pixel_shuffle(decoder(x), self.encoder_stride)


def pixel_shuffle(x: jax.Array, side: int) -> jax.Array:
    """Channels to pixels (Shi et al. 2016, equation 4), in PyTorch's order.

    Args:
      x: (B, h, w, C * side ** 2), a channel's pixels side by side, row-major.
      side: pixels along each side that an entry of the map becomes.

    Returns:
      (B, h * side, w * side, C).
    """
    batch, rows, columns, _ = x.shape
    x = x.reshape(batch, rows, columns, -1, side, side).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, rows * side, columns * side, -1)
