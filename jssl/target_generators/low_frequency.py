"""Low-pass filtered images, which PixMIM reconstructs in place of the images themselves."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jssl.augment.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from jssl.checks import Checked, Finite, Positive
from jssl.errors import JsslError
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class LowFreqTargetGenerator(Checked):
    """Keeps what varies slowly over an image (Liu et al. 2023, PixMIM, arXiv 2303.02416, 3.2).

    As in the reference the disc of frequencies that stay lies half a step off the centre, and what
    the inverse transform gives is taken by its magnitude.

    Attributes:
      radius: of the disc, in steps of the lowest frequency.
      mean, std: by which the images were normalised, per channel, on the 0..255 scale.

    Raises:
      JsslError: for a radius that is not positive, or `mean` and `std` of different lengths.
    """

    radius: Positive = 40
    mean: tuple[Finite, ...] = IMAGENET_MEAN
    std: tuple[Positive, ...] = IMAGENET_STD

    reference: ClassVar[Reference] = Reference(fields={'img_size': None})  # that of the images

    def __post_init__(self) -> None:
        """Refuses statistics of different lengths."""
        super().__post_init__()
        if len(self.mean) != len(self.std):
            raise JsslError(
                f'target_generator.mean has {len(self.mean)} channels and std {len(self.std)}; '
                'give those of the views.'
            )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Normalised images (B, H, W, C) -> the same, filtered and normalised again."""
        mean, std = (jnp.asarray(value, images.dtype) / 255 for value in (self.mean, self.std))
        disc = jnp.asarray(self._disc(*images.shape[1:3]), images.dtype)[..., None]
        spectrum = jnp.fft.fftshift(jnp.fft.fft2(images * std + mean, axes=(1, 2)), axes=(1, 2))
        # Without the shift back the magnitude is the same: a shift only turns phases.
        filtered = jnp.abs(jnp.fft.ifft2(spectrum * disc, axes=(1, 2)))
        return (filtered - mean) / std

    def _disc(self, height: int, width: int) -> np.ndarray:
        """Which of the shifted frequencies (H, W) stay."""
        rows, columns = (np.arange(length) - (length - 1) / 2 for length in (height, width))
        return rows[:, None] ** 2 + columns**2 <= self.radius**2
