"""Necks of image classifiers: pooling, outputs side by side, batch norm of pooled features."""

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


class ConcatNeck(Checked, nn.Module):
    """All outputs of a backbone side by side: class tokens, or means of maps without one.

    Caron et al. 2021, DINO, appendix F, where it stands in front of a linear probe.

    Attributes:
      with_patch_mean: whether the mean of the last output's patches stands beside its class token.
      with_bn: whether a batch norm without affine part follows.
    """

    with_patch_mean: bool = False
    with_bn: bool = False

    @nn.compact
    def __call__(self, features: Features, train: bool = True) -> tuple[jax.Array, ...]:
        """Features of a backbone -> ((B, C),), C being the sum of what stands there."""
        vectors = [pool_features((entry,)) for entry in features]
        if self.with_patch_mean:
            if not isinstance(features[-1], tuple):
                raise JsslError(
                    'config.model.neck.with_patch_mean=True puts the mean of the patches beside a '
                    'class token, and the backbone gives none; set it to False.'
                )
            vectors.append(pool_features((features[-1][0],)))
        x = jnp.concatenate(vectors, axis=-1)
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return (BatchNorm(epsilon=1e-6, affine=False, name='bn')(x, train) if self.with_bn else x,)


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
