"""Self-attention within windows of a map, plain or shifted (Liu et al. 2021, section 3.2)."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import Checked, Count, DType
from jssl.errors import JsslError
from jssl.layers.attention import Implementation
from jssl.layers.relative_attention import RelativeAttention

Shifting = Literal['plain', 'by_axis', 'before_padding']


class ShiftedWindowAttention(Checked, nn.Module):
    """Pads a map to whole windows, shifts it cyclically, attends within windows and goes back.

    Attributes:
      num_heads: heads of the attention.
      window_size: side of a window in tokens.
      shift: whether the windows are shifted by half their side.
      pad_small_map: pad maps smaller than a window, which are refused otherwise.
      shifting: 'plain' pads and then shifts, but for a map with a side of one window where
        `pad_small_map` is off; 'by_axis' shifts along the sides longer than a window alone, as
        torchvision does; 'before_padding' does so before it pads, as timm does.
      kernel_init: initial values of the linear layers.
      implementation: see `jssl.layers.attention.attend`.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    window_size: Count
    shift: bool
    pad_small_map: bool = False
    shifting: Shifting = 'plain'
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, h, w, C) -> (B, h, w, C)."""
        rows, columns = x.shape[1:3]
        shifts = self._shifts(rows, columns)
        x = self._shifted(x, shifts)
        high, wide = x.shape[1:3]
        mask = shift_mask(high, wide, self.window_size, shifts) if any(shifts) else None
        x = RelativeAttention(
            self.num_heads,
            side=self.window_size,
            qkv_init=self.kernel_init,
            proj_init=self.kernel_init,
            implementation=self.implementation,
            dtype=self.dtype,
            name='w_msa',
        )(to_windows(x, self.window_size), None if mask is None else jnp.asarray(mask, x.dtype))
        x = from_windows(x, high, wide)
        if self.shifting == 'before_padding':
            x = x[:, :rows, :columns]
        return jnp.roll(x, shifts, axis=(1, 2))[:, :rows, :columns]

    def _shifted(self, x: jax.Array, shifts: tuple[int, int]) -> jax.Array:
        """The map shifted and padded to whole windows, in the order that `shifting` says."""
        back = tuple(-shift for shift in shifts)
        if self.shifting == 'before_padding':
            return pad_to_multiple(jnp.roll(x, back, axis=(1, 2)), self.window_size)
        return jnp.roll(pad_to_multiple(x, self.window_size), back, axis=(1, 2))

    def _shifts(self, rows: int, columns: int) -> tuple[int, int]:
        """By how many tokens rows and columns are shifted."""
        size = self.window_size
        if min(rows, columns) < size and not self.pad_small_map:
            raise JsslError(
                f'A map of {rows} x {columns} tokens is smaller than '
                f'config.model.backbone.window_size={size}; use larger images, a smaller window, '
                'or pad_small_map=True.'
            )
        half = size // 2 if self.shift else 0
        if self.shifting != 'plain':
            return half if rows > size else 0, half if columns > size else 0
        whole = min(rows, columns) == size and not self.pad_small_map
        return (0, 0) if whole else (half, half)


def pad_to_multiple(x: jax.Array, size: int) -> jax.Array:
    """Zeros at the bottom and right of a map (B, h, w, C) up to multiples of `size`."""
    rows, columns = x.shape[1:3]
    return jnp.pad(x, ((0, 0), (0, -rows % size), (0, -columns % size), (0, 0)))


def to_windows(x: jax.Array, size: int) -> jax.Array:
    """(B, h, w, C) -> (B, windows, size * size, C), windows and tokens row-major."""
    batch, rows, columns, channels = x.shape
    x = x.reshape(batch, rows // size, size, columns // size, size, channels)
    return x.swapaxes(2, 3).reshape(batch, -1, size * size, channels)


def from_windows(x: jax.Array, rows: int, columns: int) -> jax.Array:
    """The inverse of `to_windows` for a map of `rows` x `columns`."""
    batch, _, tokens, channels = x.shape
    size = round(tokens**0.5)
    x = x.reshape(batch, rows // size, columns // size, size, size, channels)
    return x.swapaxes(2, 3).reshape(batch, rows, columns, channels)


def shift_mask(rows: int, columns: int, size: int, shifts: tuple[int, int]) -> np.ndarray:
    """float32 (windows, N, N): -100 between tokens that only the cyclic shift made neighbours."""

    def regions(length: int, shift: int) -> np.ndarray:
        place = np.arange(length)
        return (place >= length - size).astype(int) + (place >= length - shift)

    region = 3 * regions(rows, shifts[0])[:, None] + regions(columns, shifts[1])
    windows = region.reshape(rows // size, size, columns // size, size).swapaxes(1, 2)
    windows = windows.reshape(-1, size * size)
    return np.where(windows[:, :, None] == windows[:, None, :], 0, -100).astype(np.float32)
