"""The projection of SimCLR and its relatives: linear layers with batch norm between them."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType
from jssl.errors import JsslError
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.initializers import kaiming_uniform, torch_linear, torch_linear_bias
from jssl.layers.pooling import Features, pool_features
from jssl.reference import Reference


class NonLinearNeck(Checked, nn.Module):
    """``fc0 -> bn0 -> (ReLU -> fc_i -> bn_i) ...`` (SimCLR, section 2.1; with BN as in its code).

    The activation precedes each further linear layer; nothing follows the last batch norm.

    Attributes:
      in_channels: width of the pooled features, checked against what arrives.
      hid_channels: width of all layers but the last.
      out_channels: width of the projection.
      num_layers: number of linear layers.
      with_bias: whether the hidden linear layers have a bias.
      with_last_bn: whether a batch norm closes the neck.
      with_last_bn_affine: whether that batch norm has scale and bias.
      with_last_bias: whether the last linear layer has a bias.
      with_avg_pool: pool maps (B, h, w, C) to (B, C) first; False takes (B, C).
      vit_backbone: take the class token of a vision transformer, which gives (map, class token).
      kaiming_uniform: draw the kernels in +-sqrt(6 / fan_out), as Barlow Twins does, and not as
        PyTorch in +-1/sqrt(fan_in).
      bn_group_size: samples per group of batch statistics; None for the whole batch.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    hid_channels: Count
    out_channels: Count
    num_layers: Count = 2
    with_bias: bool = False
    with_last_bn: bool = True
    with_last_bn_affine: bool = True
    with_last_bias: bool = False
    with_avg_pool: bool = True
    vit_backbone: bool = False
    kaiming_uniform: bool = False
    bn_group_size: Count | None = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(initial='kaiming_uniform')

    @nn.compact
    def __call__(self, features: Features, train: bool = True) -> jax.Array:
        """The backbone's features -> (B, out_channels)."""
        x = self._vectors(features)
        check_width(self, x)
        for index in range(self.num_layers):
            if index > 0:
                x = nn.relu(x)
            x = self._layer(x, index, train)
        return x

    def _vectors(self, features: Features) -> jax.Array:
        """The backbone's features as (B, C)."""
        last = features[-1]
        if self.vit_backbone and not isinstance(last, tuple):
            raise JsslError(
                'config.model.neck.vit_backbone=True takes a class token, but the backbone gives '
                'none; set config.model.neck.vit_backbone=False.'
            )
        if self.vit_backbone or self.with_avg_pool:
            return pool_features(features)
        if isinstance(last, tuple):
            raise JsslError(
                'config.model.neck.with_avg_pool=False takes vectors, but the backbone gives a '
                'map and a class token; set config.model.neck.vit_backbone=True.'
            )
        return last

    def _layer(self, x: jax.Array, index: int, train: bool) -> jax.Array:
        last = index == self.num_layers - 1
        x = nn.Dense(
            self.out_channels if last else self.hid_channels,
            use_bias=self.with_last_bias if last else self.with_bias,
            kernel_init=kaiming_uniform if self.kaiming_uniform else torch_linear,
            bias_init=torch_linear_bias(x.shape[-1]),
            dtype=self.dtype,
            name=f'fc{index}',
        )(x)
        if last and not self.with_last_bn:
            return x
        return BatchNorm(
            affine=self.with_last_bn_affine if last else True,
            group_size=self.bn_group_size,
            name=f'bn{index}',
        )(x, train)


def check_width(neck: Any, x: jax.Array) -> None:
    """Raises a `JsslError` unless features x (..., C) have the width that a neck was told."""
    if x.shape[-1] != neck.in_channels:
        field = f'config.model.{".".join(neck.path) or "neck"}.in_channels'  # or a predictor's
        raise JsslError(
            f'{field}={neck.in_channels}, but {x.shape[-1]} channels arrive; set '
            f'{field}={x.shape[-1]}.'
        )
