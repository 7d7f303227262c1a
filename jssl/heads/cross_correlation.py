"""The cross-correlation of two views' projections (Barlow Twins)."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, NonNegative, Positive
from jssl.errors import JsslError
from jssl.layers.batch_norm import BatchNorm
from jssl.losses import cross_correlation
from jssl.reference import Reference


class LatentCrossCorrelationHead(Checked, nn.Module):
    """Normalises every feature of both views over the batch and correlates them.

    Attributes:
      in_channels: width of the projections, checked against what arrives.
      off_diagonal_weight: lambda of the loss (Zbontar et al. 2021, equation 1).
      loss_weight: multiplies the loss. The reference on D devices back-propagates 1/D of it (LARS
        rescales weights but neither biases nor norms), which a recipe that relies on it sets here.
      bn_group_size: samples per group of batch statistics; None for the whole batch. The reference
        normalises the samples of each device by themselves.
    """

    in_channels: Count
    off_diagonal_weight: NonNegative = 0.0051
    loss_weight: Positive = 1.0
    bn_group_size: Count | None = None

    reference: ClassVar[Reference] = Reference(
        losses={'CrossCorrelationLoss': {'lambd': 'off_diagonal_weight'}}, norm='BN1d'
    )

    @nn.compact
    def __call__(self, first: jax.Array, second: jax.Array, train: bool = True) -> jax.Array:
        """Projections (B, D) of both views -> correlations (D, D), in at least float32."""
        if first.shape[-1] != self.in_channels:
            raise JsslError(
                f'config.model.head.in_channels={self.in_channels}, but the neck gives '
                f'{first.shape[-1]} channels; set config.model.head.in_channels={first.shape[-1]}.'
            )
        norm = BatchNorm(
            affine=False,
            group_size=self.bn_group_size,
            dtype=jnp.promote_types(first.dtype, jnp.float32),
            name='bn',
        )
        first, second = norm(first, train), norm(second, train)
        return cross_correlation(first, second)
