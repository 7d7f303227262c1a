"""The necks of algorithms that predict labels: pooling alone, and hidden layers with dropout.

The dropout mask is an input, drawn by the algorithm, so that a pass is deterministic.
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.pooling import Features, pool_features
from jssl.necks.linear import linear
from jssl.necks.nonlinear import check_width
from jssl.reference import Reference

DROPOUT = 0.5  # share of the hidden units that a mask leaves out


class AvgPool2dNeck(nn.Module):
    """Global average pooling, without parameters."""

    reference: ClassVar[Reference] = Reference(fixed={'output_size': 1})

    @nn.compact
    def __call__(self, features: Features, train: bool = True) -> jax.Array:
        """The backbone's features -> (B, C)."""
        del train
        return pool_features(features)


class ODCNeck(Checked, nn.Module):
    """Pooling, ``fc0 -> bn0 -> ReLU -> dropout -> fc1 -> ReLU`` (Zhan et al. 2020, section 3.1).

    The outputs are not negative. The batch norms have no scale and bias; the running statistics of
    `bn0` move by 0.001 a step.

    Attributes:
      in_channels: width of the pooled features, checked against what arrives.
      hid_channels: width of the hidden layer.
      out_channels: width of the projection.
      with_last_bn: a batch norm `bn1` in place of the last ReLU. It centres the features, so that
        their products tell clusters apart that all lie in one direction otherwise.
      bn_group_size: samples per group of batch statistics; None for the whole batch.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    hid_channels: Count
    out_channels: Count
    with_last_bn: bool = False
    bn_group_size: Count | None = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(fixed={'with_avg_pool': True})

    @nn.compact
    def __call__(
        self, features: Features, keep: jax.Array | None = None, train: bool = True
    ) -> jax.Array:
        """The backbone's features -> (B, out_channels).

        Args:
          features: of the backbone.
          keep: which hidden units stay, (B, hid_channels); None keeps all.
          train: chooses the batch norm's statistics.
        """
        x = pool_features(features)
        check_width(self, x)
        x = linear(self.hid_channels, x, self.dtype, 'fc0')
        x = drop(nn.relu(self._norm('bn0', 0.999)(x, train)), keep)
        x = linear(self.out_channels, x, self.dtype, 'fc1')
        return self._norm('bn1', 0.9)(x, train) if self.with_last_bn else nn.relu(x)

    def _norm(self, name: str, momentum: float) -> BatchNorm:
        return BatchNorm(momentum, affine=False, group_size=self.bn_group_size, name=name)


class RelativeLocNeck(Checked, nn.Module):
    """Pooling, ``fc -> bn -> ReLU -> dropout`` on the features of two patches side by side.

    The running statistics of the batch norm move by 0.003 a step.

    Attributes:
      in_channels: width of the backbone's features; two of them arrive.
      out_channels: width of the projection.
      bn_group_size: pairs per group of batch statistics; None for the whole batch.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    out_channels: Count
    bn_group_size: Count | None = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(fixed={'with_avg_pool': True}, norm='BN1d')

    @nn.compact
    def __call__(
        self, features: Features, keep: jax.Array | None = None, train: bool = True
    ) -> jax.Array:
        """Features of width 2 in_channels -> (B, out_channels).

        Args:
          features: of both patches, concatenated along the channels.
          keep: which units stay, (B, out_channels); None keeps all.
          train: chooses the batch norm's statistics.
        """
        x = pool_features(features)
        check_width(self, x[..., : x.shape[-1] // 2])
        init = nn.initializers.normal(0.01)
        x = nn.Dense(self.out_channels, kernel_init=init, dtype=self.dtype, name='fc')(x)
        norm = BatchNorm(momentum=0.997, group_size=self.bn_group_size, name='bn')
        return drop(nn.relu(norm(x, train)), keep)


def drop(x: jax.Array, keep: jax.Array | None) -> jax.Array:
    """Dropout by a mask (Srivastava et al. 2014); what stays is scaled up to keep the mean."""
    return x if keep is None else jnp.where(keep.astype(bool), x / (1 - DROPOUT), 0)


def draw_keep(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """A mask for `drop`, bool of that shape."""
    return jax.random.bernoulli(rng, 1 - DROPOUT, shape)
