"""Histograms of oriented gradients, which MaskFeat predicts of the patches it does not see."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import Checked, Count, Natural
from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize


@dataclasses.dataclass(frozen=True)
class HOGGenerator(Checked):
    """HOG (Dalal and Triggs 2005) of each patch, as the targets of MaskFeat.

    Wei, Fan, Xie, Wu, Yuille, Feichtenhofer, "Masked Feature Prediction for Self-Supervised Visual
    Pre-Training", CVPR 2022, arXiv 2112.09133, section 3.2. Pure arithmetic on the device.

    Attributes:
      nbins: directions of the gradient that are told apart; opposite ones are the same.
      pool: side of a cell in pixels.
      gaussian_window: side in pixels of the tiles in which gradients count less towards the border;
        0 for none, where all count alike.
      patch_size: side of a patch in pixels, as the backbone has it.

    Raises:
      JsslError: at construction, for a patch that is no multiple of a cell or a number that is not
        positive; at a call, for images that do not divide into tiles and patches.
    """

    nbins: Count = 9
    pool: Count = 8
    gaussian_window: Natural = 16
    patch_size: Count = 16

    def __post_init__(self) -> None:
        """Refuses what no image could be divided into."""
        super().__post_init__()
        if self.patch_size % self.pool:
            raise JsslError(
                f'config.model.target_generator.patch_size={self.patch_size} is no multiple of '
                f'config.model.target_generator.pool={self.pool}; give a cell that divides the '
                'patch.'
            )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images (B, H, W, C) -> targets (B, L, C * nbins * k * k), k cells along a patch's side.

        Patches are row-major; within a patch the channel is slowest, then bin, row and column.
        """
        cells = self.cells(images)
        batch, rows, columns, channels, bins = cells.shape
        k = self.patch_size // self.pool
        cells = cells.reshape(batch, rows // k, k, columns // k, k, channels, bins)
        patches = cells.transpose(0, 1, 3, 5, 6, 2, 4)
        return patches.reshape(batch, (rows // k) * (columns // k), -1)

    def cells(self, images: jax.Array) -> jax.Array:
        """Images (B, H, W, C) -> histograms (B, H / pool, W / pool, C, nbins) of unit norm."""
        self._check(images)
        along_columns, along_rows = _gradients(images)
        magnitude = jnp.sqrt(along_columns**2 + along_rows**2)
        if self.gaussian_window:
            magnitude *= self._window(images)
        bins = self._bins(along_columns, along_rows)
        votes = jnp.where(bins[..., None] == jnp.arange(self.nbins), magnitude[..., None], 0)
        batch, height, width, channels = images.shape
        p = self.pool
        votes = votes.reshape(batch, height // p, p, width // p, p, channels, self.nbins)
        return l2_normalize(votes.sum(axis=(2, 4)))

    def _bins(self, along_columns: jax.Array, along_rows: jax.Array) -> jax.Array:
        """The direction of each gradient as a number from 0 to `nbins` - 1."""
        # Directions are folded into half a turn before the angle is taken, so that one exactly on
        # the border between the last bin and the first is not rounded into the last.
        opposite = (along_columns < 0) | ((along_columns == 0) & (along_rows < 0))
        sign = jnp.where(opposite, -1, 1)
        angle = jnp.arctan2(sign * along_columns, sign * along_rows) / math.pi
        return jnp.floor(angle * self.nbins).astype(jnp.int32) % self.nbins

    def _window(self, images: jax.Array) -> jax.Array:
        """Gaussian weights (H, W, 1) that sum to 1 over a tile."""
        side = self.gaussian_window
        curve = np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (side / 2)) ** 2)
        tile = np.outer(curve, curve) / curve.sum() ** 2
        repeats = (images.shape[1] // side, images.shape[2] // side)
        return jnp.asarray(np.tile(tile, repeats)[..., None], images.dtype)

    def _check(self, images: jax.Array) -> None:
        height, width = images.shape[1:3]
        for name in ('gaussian_window', 'patch_size'):
            side = getattr(self, name) or 1
            if height % side or width % side:
                raise JsslError(
                    f'Images of {height} x {width} px do not divide into target_generator.{name}='
                    f'{side}; change it or the size of the views.'
                )


def _gradients(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sobel's derivatives along columns and rows, the border reflected.

    The difference is taken before the smoothing: at the border it is exactly 0 then, as the
    reflection wants it.
    """
    x = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='reflect')
    columns = x[:, :, :-2] - x[:, :, 2:]
    rows = x[:, :-2] - x[:, 2:]
    along_columns = columns[:, :-2] + 2 * columns[:, 1:-1] + columns[:, 2:]
    along_rows = rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
    return along_columns, along_rows
