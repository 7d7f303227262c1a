"""The view that shifts an image by a few pixels and shows it almost whole."""

import dataclasses

import jax
import jax.numpy as jnp

from jssl.augment.ops import geometry, resample
from jssl.augment.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from jssl.augment.views import checks
from jssl.augment.views.view import maybe
from jssl.checks import Checked, Finite, Fraction, Natural, Positive, Side
from jssl.data.canvas import Canvas


@dataclasses.dataclass(frozen=True)
class PaddedCrop(Checked):
    """Short side to `size`, mirrored edges, a square at random, flip (Touvron et al. 2022, SRC).

    PixMIM (Liu et al. 2023, section 3.3) takes it in place of a crop of random size, which may cut
    the object off.

    Attributes:
      size: side of the view in pixels, to which the image's short side is brought.
      padding: pixels that the image is continued by, mirrored, on each edge; less than `size`.
      interpolation: 'bilinear', 'bicubic' or 'lanczos', antialiased.
      flip: probability of mirroring the view.
      mean, std: per channel, on the 0..255 scale.

    Raises:
      JsslError: an option is out of its range.
    """

    size: Side = 224
    padding: Natural = 4
    interpolation: str = 'bilinear'
    flip: Fraction = 0.5
    mean: tuple[Finite, ...] = IMAGENET_MEAN
    std: tuple[Positive, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = f'give less than size, which is {self.size}'
        checks.require(self.padding < self.size, self, 'padding', remedy)
        checks.check_interpolation(self)
        checks.store_statistics(self)

    def __call__(self, key: jax.Array, canvas: Canvas) -> jax.Array:
        """Draw one view.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          Float32 `(size, size, C)`, normalised.

        Raises:
          JsslError: the canvas has another number of channels than `mean`.
        """
        checks.check_channels(self, canvas.pixels.shape[-1])
        crop, flip = jax.random.split(key)
        whole = self.size * canvas.size // jnp.min(canvas.size)
        space = whole + 2 * self.padding - self.size
        first = jax.random.randint(crop, (2,), 0, space + 1, jnp.int32) - self.padding
        image = resample.resize_and_crop(
            canvas.pixels, canvas.size, whole, first, self.size, self.interpolation, mirrored=True
        )
        image = maybe(flip, self.flip, lambda _, x: geometry.flip_horizontal(x), image)
        return normalize(image, self.mean, self.std)
