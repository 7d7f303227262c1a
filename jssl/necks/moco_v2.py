"""The projection of MoCo v2."""

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType
from jssl.layers.pooling import Features
from jssl.necks.linear import linear, vectors
from jssl.necks.nonlinear import check_width


class MoCoV2Neck(Checked, nn.Module):
    """``mlp.0 -> ReLU -> mlp.2``, linear layers with bias and no batch norm (Chen et al. 2020b).

    Attributes:
      in_channels: width of the pooled features, checked against what arrives.
      hid_channels: width of the hidden layer.
      out_channels: width of the projection.
      with_avg_pool: pool maps (B, h, w, C) to (B, C) first; False takes (B, C).
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    hid_channels: Count
    out_channels: Count
    with_avg_pool: bool = True
    dtype: DType | None = None

    @nn.compact
    def __call__(self, features: Features, train: bool = True) -> jax.Array:
        """The backbone's features -> (B, out_channels)."""
        x = vectors(features, self.with_avg_pool)
        check_width(self, x)
        x = nn.relu(linear(self.hid_channels, x, self.dtype, 'mlp.0'))
        return linear(self.out_channels, x, self.dtype, 'mlp.2')
