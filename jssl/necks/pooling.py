"""Necks of image classifiers: pooling, and batch norm of the pooled features."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count
from jssl.errors import JsslError
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.pooling import Features, pool_features


class GlobalAveragePooling(nn.Module):
    """Means over all places, features of a backbone -> tuple of (B, C).

    Of a map and a class token, as a vision transformer gives them, the map is averaged.
    """

    @nn.compact
    def __call__(self, features: Features, train: bool = True) -> tuple[jax.Array, ...]:
        """The mean of each of the backbone's outputs, in at least float32."""
        del train
        maps = (entry[0] if isinstance(entry, tuple) else entry for entry in features)
        return tuple(pool_features((entry,)) for entry in maps)


class ClsBatchNormNeck(Checked, nn.Module):
    """Batch norm without affine part of pooled features, or of the class token.

    He et al. 2022 ("Masked Autoencoders", appendix A.1) put it in front of a linear probe: it gives
    the features of any network the same scale, so that a learning rate carries over.

    Attributes:
      input_features: width of the features, checked against what arrives; None takes any.
    """

    input_features: Count | None = None

    @nn.compact
    def __call__(self, features: Features, train: bool = True) -> tuple[jax.Array, ...]:
        """Features of a backbone -> ((B, C),)."""
        x = pool_features(features)
        if self.input_features not in (None, x.shape[-1]):
            raise JsslError(
                f'config.model.neck.input_features={self.input_features}, but {x.shape[-1]} '
                f'channels arrive; set config.model.neck.input_features={x.shape[-1]}.'
            )
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return (BatchNorm(epsilon=1e-6, affine=False, name='bn')(x, train),)
