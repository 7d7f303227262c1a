"""A tokenizer that needs no weights: the coarse pattern of bright and dark in each patch."""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, Range
from jssl.errors import JsslError

MOST = 2**16  # tokens


@dataclasses.dataclass(frozen=True)
class BrightnessTokenizer(Checked):
    """Images -> one token for each patch: which of its cells are how bright.

    A patch has `cells` x `cells` cells, and the mean of each cell is one of `levels` levels, a
    standard deviation of the image apart. The levels are the digits of the token, the upper left
    cell first. Each image is standardised by itself, so that neither its brightness nor its
    contrast matters; means over cells make tokens stable under noise. Pure arithmetic.

    Attributes:
      patch_size: side of a patch in pixels.
      cells: along a side of a patch.
      levels: of brightness.

    Raises:
      JsslError: at construction, for a number out of its range or cells that do not divide the
        patch; at a call, for images that do not divide into patches.
    """

    patch_size: Count = 4
    cells: Annotated[int, Range(1, 4, whole=True)] = 2
    levels: Annotated[int, Range(2, MOST, whole=True)] = 4

    def __post_init__(self) -> None:
        """Refuses what tells nothing apart, or more than an integer holds."""
        super().__post_init__()
        if self.patch_size % self.cells:
            raise JsslError(
                f'config.model.target_generator.patch_size={self.patch_size} is no multiple of '
                f'config.model.target_generator.cells={self.cells}; give a number of cells that '
                'divides it.'
            )
        if self.num_classes > MOST:
            raise JsslError(
                f'config.model.target_generator.levels={self.levels} and '
                f'config.model.target_generator.cells={self.cells} make {self.num_classes} tokens; '
                'lower one of them, 65536 are the most.'
            )

    @property
    def num_classes(self) -> int:
        """How many tokens there are."""
        return self.levels**self.cells**2

    def __call__(self, images: jax.Array) -> jax.Array:
        """(B, H, W, C) on any scale -> int32 (B, H / patch_size, W / patch_size)."""
        batch, height, width, _ = images.shape
        side, k = self.patch_size, self.cells
        if height % side or width % side:
            raise JsslError(
                f'Images of {height} x {width} px do not divide into '
                f'config.model.target_generator.patch_size={side}; change it or views.token_size.'
            )
        wide = images.astype(jnp.promote_types(images.dtype, jnp.float32))
        images = _standardise(wide).mean(axis=-1)
        rows, columns, pixels = height // side, width // side, side // k
        means = images.reshape(batch, rows, k, pixels, columns, k, pixels).mean(axis=(3, 6))
        levels = jnp.clip(jnp.floor(means) + self.levels // 2, 0, self.levels - 1)
        digits = levels.astype(jnp.int32).transpose(0, 1, 3, 2, 4).reshape(batch, rows, columns, -1)
        return digits @ self.levels ** jnp.arange(k * k - 1, -1, -1, dtype=jnp.int32)


def _standardise(images: jax.Array) -> jax.Array:
    """Each image (H, W, C) with mean 0 and deviation 1."""
    axes = (1, 2, 3)
    deviation = images.std(axis=axes, keepdims=True)
    return (images - images.mean(axis=axes, keepdims=True)) / (deviation + 1e-6)
