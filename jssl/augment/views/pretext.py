"""Views that carry a task in themselves: neighbouring patches, quarter turns, an image's tokens."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jssl.augment.ops import color, geometry, resample
from jssl.augment.ops.normalize import normalize
from jssl.augment.views import checks
from jssl.augment.views.multi_view import Views
from jssl.augment.views.view import View, maybe
from jssl.checks import Checked, Finite, Fraction, Positive, Share, Side
from jssl.data.canvas import Canvas

ROUNDED_MEAN = (124.0, 117.0, 104.0)
ROUNDED_STD = (59.0, 58.0, 58.0)
# x / 255 * 0.8 + 0.1, what the discrete VAE of DALL-E takes (Ramesh et al. 2021, appendix A).
TOKEN_MEAN, TOKEN_STD = -31.875, 318.75
# Column by column, so that label k of the reference is cell NEIGHBOURS[k] of (row, column).
CELLS = [(row, column) for column in range(3) for row in range(3)]
NEIGHBOURS = [cell for cell in CELLS if cell != (1, 1)]


@dataclasses.dataclass(frozen=True)
class Patches(Checked):
    """Nine patches of one image, one of each cell of a 3x3 grid (Doersch et al. 2015).

    The image is resized to a square whatever its aspect, a square is cut out at random, and each
    patch lies at random in its cell, which gives the gap between neighbours and its jitter. With
    the defaults two neighbours are between -1 and 43 pixels apart. As in the reference the colours
    are hidden by grey alone and nothing is mirrored.

    Attributes:
      resize: side in pixels to which the whole image is brought, each axis by itself.
      crop: side of the square that is cut out, at most `resize`.
      patch: side of a patch, at most a third of `crop`.
      gray: probability that all patches are grey.
      antialias: whether resizing is; the reference resizes with OpenCV, without it.
      mean, std: per channel, on the 0..255 scale.
      gray_weights: 'equal' for the mean of the channels, 'itu' for the luma of ITU-R 601.
      keep_ratio: whether the image keeps its aspect, and its short side is brought to `resize`, as
        in the reference's releases before 1.0.

    Raises:
      JsslError: an option is out of its range.
    """

    resize: Side = 292
    crop: Side = 255
    patch: Side = 64
    gray: Fraction = 0.66
    antialias: bool = False
    mean: tuple[Finite, ...] = ROUNDED_MEAN
    std: tuple[Positive, ...] = ROUNDED_STD
    gray_weights: str = 'equal'
    keep_ratio: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = (
            f'the crop does not fit; give at most resize, which is {self.resize}, or raise resize'
        )
        checks.require(self.crop <= self.resize, self, 'crop', remedy)
        remedy = f'the patch does not fit into its cell; give at most {self.crop // 3}'
        checks.require(self.patch <= self.crop // 3, self, 'patch', remedy)
        checks.check_choice(self, 'gray_weights', color.GRAY_WEIGHTS, 'name of weights')
        checks.store_statistics(self)

    def __call__(self, key: jax.Array, canvas: Canvas) -> Views:
        """Draw the patches.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (centre, neighbour 0, …, neighbour 7)}`, each float32 `(patch, patch, C)`,
          normalised; the neighbours column by column from the left, each from the top.

        Raises:
          JsslError: the canvas has another number of channels than `mean`, or is grey while
            `gray` is not 0.
        """
        checks.check_channels(self, canvas.pixels.shape[-1], 'Patches.gray' if self.gray else '')
        crop, gray, place = jax.random.split(key, 3)
        image = self._crop(crop, canvas)
        weights = color.GRAY_WEIGHTS[self.gray_weights]
        image = maybe(gray, self.gray, lambda _, x: color.to_gray(x, weights), image)
        image = normalize(image, self.mean, self.std)
        size = (self.patch, self.patch, image.shape[-1])
        patches = [lax.dynamic_slice(image, (*start, 0), size) for start in self._starts(place)]
        return {'views': tuple(patches)}

    def _crop(self, key: jax.Array, canvas: Canvas) -> jax.Array:
        whole = jnp.full((2,), self.resize, jnp.int32)
        if self.keep_ratio:
            whole = self.resize * canvas.size // jnp.min(canvas.size)
        first = jax.random.randint(key, (2,), 0, whole - self.crop + 1, jnp.int32)
        return resample.resize_and_crop(
            canvas.pixels, canvas.size, whole, first, self.crop, antialias=self.antialias
        )

    def _starts(self, key: jax.Array) -> jax.Array:
        """Row and column of the first pixel of each patch, int32 `(9, 2)`.

        A cell reaches one pixel into the next one, where there is a next one.
        """
        cell = self.crop // 3
        corner = cell * np.array([(1, 1), *NEIGHBOURS])
        space = np.minimum(cell + 1, self.crop - corner) - self.patch
        return jax.random.randint(key, corner.shape, corner, corner + space + 1, jnp.int32)


@dataclasses.dataclass(frozen=True)
class Rotations(Checked):
    """A view and its quarter turns (Gidaris et al. 2018).

    Attributes:
      view: the policy.

    Raises:
      JsslError: `view` is not a policy.
    """

    view: View

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.require(callable(self.view), self, 'view', checks.POLICY)

    def __call__(self, key: jax.Array, canvas: Canvas) -> Views:
        """Draw the view and turn it.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (0°, 90°, 180°, 270° clockwise)}`, each float32 `(size, size, C)`.
        """
        image = self.view(key, canvas)
        return {'views': tuple(geometry.rotate_quarters(image, label) for label in range(4))}


@dataclasses.dataclass(frozen=True)
class ImageAndTokens(Checked):
    """One crop in two sizes: for the encoder, and for a tokenizer (Chen et al. 2022, CAE).

    Attributes:
      size: side of the encoder's view in pixels.
      token_size: side of the tokenizer's view in pixels.
      scale, ratio: bounds of the crop's area, as a fraction of the image, and of width/height.
      interpolation, token_interpolation: 'bilinear', 'bicubic' or 'lanczos', antialiased.
      flip: probability of mirroring both.
      mean, std: of the encoder's view, per channel, on the 0..255 scale.
      token_mean, token_std: of the tokenizer's view, for all channels; the defaults are DALL-E's
        x / 255 * 0.8 + 0.1, and 127.5 for both is what VQ-KD takes.

    Raises:
      JsslError: an option is out of its range.
    """

    size: Side = 224
    token_size: Side = 112
    scale: tuple[Share, Share] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    interpolation: str = 'bicubic'
    token_interpolation: str = 'lanczos'
    flip: Fraction = 0.5
    mean: tuple[Finite, ...] = ROUNDED_MEAN
    std: tuple[Positive, ...] = ROUNDED_STD
    token_mean: Finite = TOKEN_MEAN
    token_std: Positive = TOKEN_STD

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ('interpolation', 'token_interpolation'):
            checks.check_interpolation(self, field)
        checks.store_interval(self, 'scale')
        checks.store_interval(self, 'ratio')
        checks.store_statistics(self)

    @property
    def statistics(self) -> tuple[tuple[Any, Any], ...]:
        """Mean and deviation of each view, for pictures."""
        return (self.mean, self.std), (self.token_mean, self.token_std)

    def __call__(self, key: jax.Array, canvas: Canvas) -> Views:
        """Draw the crop.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (image, token image)}`: float32 `(size, size, C)`, normalised, and
          `(token_size, token_size, C)` on the tokenizer's scale.

        Raises:
          JsslError: the canvas has another number of channels than `mean`.
        """
        checks.check_channels(self, canvas.pixels.shape[-1])
        crop, flip = jax.random.split(key)
        box = resample.random_resized_crop_box(crop, canvas.size, self.scale, self.ratio)
        sizes = (self.size, self.interpolation), (self.token_size, self.token_interpolation)
        image, tokens = (
            maybe(
                flip,
                self.flip,
                lambda _, x: geometry.flip_horizontal(x),
                resample.crop_and_resize(canvas.pixels, box, *size),
            )
            for size in sizes
        )
        tokens = (tokens - self.token_mean) / self.token_std
        return {'views': (normalize(image, self.mean, self.std), tokens)}
