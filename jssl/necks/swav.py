"""SwAV's projection onto the sphere on which its prototypes lie."""

from typing import ClassVar

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType, Natural
from jssl.errors import JsslError
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.initializers import torch_linear, torch_linear_bias
from jssl.layers.normalize import l2_normalize
from jssl.layers.pooling import pool_features
from jssl.reference import Reference


class SwAVNeck(Checked, nn.Module):
    """Linear, batch norm, ReLU, linear, then each row of unit length (Caron et al. 2020, 2.4).

    Attributes:
      in_channels: width of the pooled features, checked against what arrives.
      hid_channels: width of the hidden layer; 0 leaves one linear layer alone.
      out_channels: width of the projection; 0 for no layer at all.
      with_avg_pool: pool maps (B, h, w, C) to (B, C) first; False takes (B, C).
      with_l2norm: whether rows are divided by their norm.
      bn_group_size: rows per group of batch statistics; None for all.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    hid_channels: Natural
    out_channels: Natural
    with_avg_pool: bool = True
    with_l2norm: bool = True
    bn_group_size: Count | None = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(twice={'bn': 'projection_neck.1'})

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool = True) -> jax.Array:
        """The backbone's features -> (B, out_channels), in at least float32 if of unit length."""
        x = pool_features(features) if self.with_avg_pool else features[-1]
        if x.shape[-1] != self.in_channels:
            raise JsslError(
                f'config.model.neck.in_channels={self.in_channels}, but the backbone gives '
                f'{x.shape[-1]} channels; set config.model.neck.in_channels={x.shape[-1]}.'
            )
        if self.out_channels and self.hid_channels:
            x = self._linear(x, self.hid_channels, 'projection_neck.0')
            x = nn.relu(BatchNorm(group_size=self.bn_group_size, name='bn')(x, train))
            x = self._linear(x, self.out_channels, 'projection_neck.3')
        elif self.out_channels:
            x = self._linear(x, self.out_channels, 'projection_neck')
        return l2_normalize(x) if self.with_l2norm else x

    def _linear(self, x: jax.Array, width: int, name: str) -> jax.Array:
        return nn.Dense(
            width,
            kernel_init=torch_linear,
            bias_init=torch_linear_bias(x.shape[-1]),
            dtype=self.dtype,
            name=name,
        )(x)
