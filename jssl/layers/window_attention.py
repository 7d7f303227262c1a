"""Self-attention within windows of a map, plain or shifted (Liu et al. 2021, section 3.2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import Checked, Count, DType
from jssl.errors import JsslError
from jssl.layers.attention import Implementation
from jssl.layers.relative_attention import RelativeAttention


class ShiftedWindowAttention(Checked, nn.Module):
    """Pads a map to whole windows, shifts it cyclically, attends within windows and goes back.

    Attributes:
      num_heads: heads of the attention.
      window_size: side of a window in tokens.
      shift: whether the windows are shifted by half their side.
      pad_small_map: pad maps smaller than a window and keep the shift on those of one window;
        otherwise the latter are not shifted and smaller ones refused.
      kernel_init: initial values of the linear layers.
      implementation: see `jssl.layers.attention.attend`.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    window_size: Count
    shift: bool
    pad_small_map: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, h, w, C) -> (B, h, w, C)."""
        rows, columns = x.shape[1:3]
        shift = self._shift(rows, columns)
        x = pad_to_multiple(x, self.window_size)
        padded_rows, padded_columns = x.shape[1:3]
        x = jnp.roll(x, (-shift, -shift), axis=(1, 2))
        mask = shift_mask(padded_rows, padded_columns, self.window_size, shift) if shift else None
        x = RelativeAttention(
            self.num_heads,
            side=self.window_size,
            qkv_init=self.kernel_init,
            proj_init=self.kernel_init,
            implementation=self.implementation,
            dtype=self.dtype,
            name='w_msa',
        )(to_windows(x, self.window_size), None if mask is None else jnp.asarray(mask, x.dtype))
        x = jnp.roll(from_windows(x, padded_rows, padded_columns), (shift, shift), axis=(1, 2))
        return x[:, :rows, :columns]

    def _shift(self, rows: int, columns: int) -> int:
        if min(rows, columns) < self.window_size and not self.pad_small_map:
            raise JsslError(
                f'A map of {rows} x {columns} tokens is smaller than '
                f'config.model.backbone.window_size={self.window_size}; use larger images, a '
                'smaller window, or pad_small_map=True.'
            )
        whole = min(rows, columns) == self.window_size and not self.pad_small_map
        return self.window_size // 2 if self.shift and not whole else 0


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


def shift_mask(rows: int, columns: int, size: int, shift: int) -> np.ndarray:
    """float32 (windows, N, N): -100 between tokens that only the cyclic shift made neighbours."""

    def regions(length: int) -> np.ndarray:
        place = np.arange(length)
        return (place >= length - size).astype(int) + (place >= length - shift)

    region = 3 * regions(rows)[:, None] + regions(columns)
    windows = region.reshape(rows // size, size, columns // size, size).swapaxes(1, 2)
    windows = windows.reshape(-1, size * size)
    return np.where(windows[:, :, None] == windows[:, None, :], 0, -100).astype(np.float32)
