"""Batch normalisation with PyTorch's running statistics and statistics per group of the batch."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Fraction, Positive
from jssl.errors import JsslError
from jssl.layers.widen import widen

PARTS = {'backbone', 'neck'}  # of an algorithm, whose field is the group size


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
        scale, bias = jnp.ones(channels), jnp.zeros(channels)
        if self.affine:
            scale = self.param('scale', self.scale_init, (channels,))
            bias = self.param('bias', nn.initializers.zeros, (channels,))
        dtype = jnp.dtype(self.dtype or x.dtype)
        if not train:
            inverse = jax.lax.rsqrt(running_var.value + self.epsilon)
            return ((widen(x) - running_mean.value) * inverse * scale + bias).astype(dtype)
        grouped = self._group(x)
        y, mean, var = normalise(grouped, scale, bias, running_mean.value, self.epsilon, dtype)
        if not self.is_initializing():
            count = grouped[0].size // channels
            self._record(running_mean, mean.mean(0))
            self._record(running_var, var.mean(0) * count / (count - 1))
        return y.reshape(x.shape)

    def _record(self, running: nn.Variable[jax.Array], new: jax.Array) -> None:
        running.value = self.momentum * running.value + (1 - self.momentum) * new

    def _group(self, x: jax.Array) -> jax.Array:
        """(B, ...) -> (groups, samples per group, ...)."""
        size = self.group_size or x.shape[0]
        if x.shape[0] % size:
            part = f'--config.model.{self.path[0]}.' if {*self.path[:1]} & PARTS else ''
            fits = math.gcd(size, len(x))
            raise JsslError(
                f'bn_group_size={size} does not divide the {x.shape[0]} images that pass through '
                f'the network together; choose a divisor, such as {part}bn_group_size='
                f'{fits if fits > 1 else len(x)}, or another batch size.'
            )
        if x[:1].size * size == x.shape[-1]:
            raise JsslError(
                f'Batch normalisation got a single value per channel (shape {x.shape}, groups of '
                f'{size}); it needs a larger batch, a larger bn_group_size or larger images.'
            )
        return x.reshape(-1, size, *x.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def normalise(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    about: jax.Array,
    epsilon: float,
    dtype: jnp.dtype,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalisation by the statistics of each group, and these statistics.

    Its gradient is written by hand: it keeps `x` as it came, and no other array of that size,
    reads it twice and shares its two sums between `x`, `scale` and `bias`.

    Args:
      x: (groups, n, ..., C).
      scale: (C,), of the normalised values.
      bias: (C,), added to them.
      about: (C,), a constant close to the mean.
      epsilon: added to the variance.
      dtype: of what is normalised.

    Returns:
      The normalised x; mean and biased variance (groups, C), in at least float32.
    """
    return _forward(x, scale, bias, about, epsilon, dtype)[0]


Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]
Cotangents = tuple[jax.Array, jax.Array, jax.Array]


def _forward(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    about: jax.Array,
    epsilon: float,
    dtype: jnp.dtype,
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Residuals]:
    mean, var = _statistics(widen(x), about)
    inverse = jax.lax.rsqrt(var + epsilon)
    y = (widen(x) - _per_group(mean, x)) * _per_group(inverse * scale, x) + bias
    return (y.astype(dtype), mean, var), (x, scale, mean, inverse, about)


def _backward(
    epsilon: float, dtype: jnp.dtype, kept: Residuals, given: Cotangents
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    x, scale, mean, inverse, about = kept
    by_y, by_mean, by_var = widen(given[0]), given[1], given[2]
    axes, count = tuple(range(1, x.ndim - 1)), x[0].size // x.shape[-1]
    centred = widen(x) - _per_group(mean, x)
    total, along = by_y.sum(axes), (by_y * centred).sum(axes)  # (groups, C)
    gain = inverse * scale
    slope = (2 * by_var - gain * jnp.square(inverse) * along) / count
    shift = (by_mean - gain * total) / count
    by_x = _per_group(gain, x) * by_y + _per_group(slope, x) * centred + _per_group(shift, x)
    by_scale = (along * inverse).sum(0).astype(scale.dtype)
    return by_x.astype(x.dtype), by_scale, total.sum(0).astype(scale.dtype), jnp.zeros_like(about)


normalise.defvjp(_forward, _backward)


def _per_group(values: jax.Array, x: jax.Array) -> jax.Array:
    """(groups, C) as it meets x (groups, n, ..., C)."""
    return values.reshape(len(values), *(1,) * (x.ndim - 2), x.shape[-1])


def _statistics(grouped: jax.Array, about: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance (groups, C) of (groups, n, ..., C), in one pass about a constant."""
    axes = tuple(range(1, grouped.ndim - 1))
    shifted = grouped - about
    offset = shifted.mean(axes)
    var = jnp.maximum(jnp.square(shifted).mean(axes) - jnp.square(offset), 0)
    return offset + about, var
