"""Batch normalisation with PyTorch's running statistics and statistics per group of the batch."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Fraction, Positive
from jssl.errors import JsslError


class BatchNorm(Checked, nn.Module):
    """Batch normalisation over all axes but the last (Ioffe & Szegedy 2015).

    Differs from `flax.linen.BatchNorm` in three points. The running variance is the unbiased
    estimate, as PyTorch stores it, so that weights move both ways. `group_size` computes the
    statistics over consecutive groups of that many samples: what a recipe with plain ("per-GPU")
    BN does, made a property of the batch and not of the number of devices; the running statistics
    are the mean over the groups. The variance is taken about the running mean, which keeps the
    one-pass formula accurate for activations whose mean is large against their spread.

    Attributes:
      momentum: share of the running statistics that is kept at each step.
      epsilon: added to the variance.
      affine: whether there is a learned scale and bias.
      group_size: samples per group of statistics; None for the whole (global) batch.
      scale_init: initial values of the scale.
      dtype: of the output; None for the input's. Statistics are in at least float32 always.
    """

    momentum: Fraction = 0.9
    epsilon: Positive = 1e-5
    affine: bool = True
    group_size: Count | None = None
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Normalises x (B, ..., C); with `train` by the batch's statistics, which it records."""
        channels = x.shape[-1]
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
        running_var = self.variable('batch_stats', 'var', jnp.ones, (channels,))
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if train:
            grouped = self._group(wide)
            mean, var = _statistics(grouped, running_mean.value)
            if not self.is_initializing():
                count = grouped[0].size // channels
                self._record(running_mean, mean.mean(0))
                self._record(running_var, var.mean(0) * count / (count - 1))
            shape = (len(mean), *(1,) * (x.ndim - 1), channels)
            y = (grouped - mean.reshape(shape)) * jax.lax.rsqrt(var + self.epsilon).reshape(shape)
            y = y.reshape(x.shape)
        else:
            inverse = jax.lax.rsqrt(running_var.value + self.epsilon)
            y = (wide - running_mean.value) * inverse
        if self.affine:
            y *= self.param('scale', self.scale_init, (channels,))
            y += self.param('bias', nn.initializers.zeros, (channels,))
        return y.astype(self.dtype or x.dtype)

    def _record(self, running: nn.Variable[jax.Array], new: jax.Array) -> None:
        running.value = self.momentum * running.value + (1 - self.momentum) * new

    def _group(self, x: jax.Array) -> jax.Array:
        """(B, ...) -> (groups, samples per group, ...)."""
        size = self.group_size or x.shape[0]
        if x.shape[0] % size:
            raise JsslError(
                f'bn_group_size={size} does not divide the {x.shape[0]} images that pass through '
                'the network together; choose a divisor or another batch size.'
            )
        if x[:1].size * size == x.shape[-1]:
            raise JsslError(
                f'Batch normalisation got a single value per channel (shape {x.shape}, groups of '
                f'{size}); it needs a larger batch, a larger bn_group_size or larger images.'
            )
        return x.reshape(-1, size, *x.shape[1:])


def _statistics(grouped: jax.Array, about: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance (groups, C) of (groups, n, ..., C), in one pass about a constant."""
    axes = tuple(range(1, grouped.ndim - 1))
    about = jax.lax.stop_gradient(about)
    shifted = grouped - about
    offset = shifted.mean(axes)
    var = jnp.maximum(jnp.square(shifted).mean(axes) - jnp.square(offset), 0)
    return offset + about, var
