"""One linear layer."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, NonNegative
from jssl.errors import JsslError
from jssl.layers.initializers import torch_linear, torch_linear_bias
from jssl.layers.pooling import Features, pool_features
from jssl.necks.nonlinear import check_width
from jssl.reference import Reference


def _of_mmpretrain(fields: dict[str, Any]) -> dict[str, Any]:
    """A neck of MMPretrain: it pools if it has a `gap_dim`, and has a batch norm unless told."""
    rest = {key: value for key, value in fields.items() if key not in ('gap_dim', 'norm_cfg')}
    if fields.get('norm_cfg', 'BN1d') is not None:
        raise JsslError(
            'LinearNeck with the batch norm that MMPretrain gives it has no counterpart in jssl; '
            'set norm_cfg=None.'
        )
    return rest | {'with_avg_pool': bool(fields.get('gap_dim', 0))}


class LinearNeck(Checked, nn.Module):
    """Global average pooling and a linear layer with bias (MoCo v1, instance discrimination).

    Attributes:
      in_channels: width of the pooled features, checked against what arrives.
      out_channels: width of the projection.
      with_avg_pool: pool maps (B, h, w, C) to (B, C) first; False takes (B, C).
      init_std: of normal initial weights, with a bias of 0, as MaskFeat has them; None draws both
        as PyTorch does.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    out_channels: Count
    with_avg_pool: bool = True
    init_std: NonNegative | None = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(
        initial='init_std', releases={'mmpretrain': _of_mmpretrain}
    )

    @nn.compact
    def __call__(self, features: Features, train: bool = True) -> jax.Array:
        """The backbone's features -> (B, out_channels)."""
        x = vectors(features, self.with_avg_pool)
        check_width(self, x)
        if self.init_std is None:
            return linear(self.out_channels, x, self.dtype, 'fc')
        init = nn.initializers.normal(self.init_std)
        return nn.Dense(self.out_channels, kernel_init=init, dtype=self.dtype, name='fc')(x)


def linear(features: int, x: jax.Array, dtype: jnp.dtype | None, name: str) -> jax.Array:
    """A linear layer with the reference's initial values, called inside a compact method."""
    return nn.Dense(
        features,
        kernel_init=torch_linear,
        bias_init=torch_linear_bias(x.shape[-1]),
        dtype=dtype,
        name=name,
    )(x)


def vectors(features: Features, with_avg_pool: bool) -> jax.Array:
    """The backbone's features as (B, C).

    Raises:
      JsslError: if they are not and may not be pooled.
    """
    last = features[-1]
    if not with_avg_pool and (isinstance(last, tuple) or last.ndim != 2):
        raise JsslError(
            'config.model.neck.with_avg_pool=False takes vectors, but the backbone gives a map; '
            'set it to True.'
        )
    return pool_features(features)
