"""One view of one canvas: drawn at random for training, or the fixed one of evaluation."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp

from jssl.augment.ops import color, geometry, resample
from jssl.augment.ops.blur import gaussian_blur
from jssl.augment.ops.normalize import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    normalize,
    standardize,
)
from jssl.augment.views import checks
from jssl.checks import Checked, Finite, Fraction, NonNegative, Positive, Range, Share, Side
from jssl.data.canvas import Canvas


@dataclasses.dataclass(frozen=True)
class View(Checked):
    """One random view: crop, flip, rotation, colour jitter, grey, blur, solarize, normalise.

    The defaults are SimCLR's (Chen et al. 2020, appendix A). A stage whose probability is 0 is
    left out of the program; the draws of the others do not change by that. Where an algorithm
    flips at another place the views are still distributed alike: mirroring commutes with every
    other stage, with crop and rotation because their draws are symmetric.

    Attributes:
      size: side of the view in pixels.
      scale, ratio: bounds of the crop's area, as a fraction of the image, and of width/height.
      interpolation: 'bilinear', 'bicubic' or 'lanczos'.
      antialias: False samples as OpenCV's bilinear resize does, for 'bilinear' only.
      flip, jitter, gray, blur, solarize: probability of each stage.
      rotate: largest angle in degrees; it is uniform up to that in both directions, the pixels are
        the nearest ones and the corners black. 0 leaves the stage out.
      brightness, contrast, saturation, hue: strength of the jitter, see `draw_color_jitter`.
      gray_weights: 'itu' for the luma of ITU-R 601, 'equal' for the mean of the channels.
      gray_first: True puts grey before the jitter.
      sigma: bounds of the blur's standard deviation in pixels.
      mean, std: per channel, on the 0..255 scale.
      standardize: normalise by the view's own mean and deviation instead, see
        `jssl.augment.ops.normalize.standardize`; pictures still go by `mean` and `std`.

    Raises:
      JsslError: an option is out of its range.
    """

    size: Side = 224
    scale: tuple[Share, Share] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    interpolation: str = 'bilinear'
    antialias: bool = True
    flip: Fraction = 0.5
    rotate: Annotated[float, Range(0, 180)] = 0.0
    jitter: Fraction = 0.8
    brightness: NonNegative = 0.8
    contrast: NonNegative = 0.8
    saturation: NonNegative = 0.8
    hue: Annotated[float, Range(0, 0.5)] = 0.2
    gray: Fraction = 0.2
    gray_weights: str = 'itu'
    gray_first: bool = False
    blur: Fraction = 0.5
    sigma: tuple[Positive, Positive] = (0.1, 2.0)
    solarize: Fraction = 0.0
    mean: tuple[Finite, ...] = IMAGENET_MEAN
    std: tuple[Positive, ...] = IMAGENET_STD
    standardize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_interpolation(self)
        possible = bool(self.antialias) or self.interpolation == 'bilinear'
        remedy = f"interpolation is {self.interpolation!r}; keep it True or take 'bilinear'"
        checks.require(possible, self, 'antialias', remedy)
        checks.check_choice(self, 'gray_weights', color.GRAY_WEIGHTS, 'name of weights')
        checks.store_interval(self, 'scale')
        checks.store_interval(self, 'ratio')
        checks.store_interval(self, 'sigma')
        checks.store_statistics(self)

    def __call__(self, key: jax.Array, canvas: Canvas) -> jax.Array:
        """Draw one view.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          Float32 `(size, size, C)`, normalised.

        Raises:
          JsslError: the canvas has another number of channels than `mean`, or is grey while a
            colour stage is on.
        """
        colored = 'View.jitter and View.gray' if self.jitter > 0 or self.gray > 0 else ''
        checks.check_channels(self, canvas.pixels.shape[-1], colored)
        crop, flip, jitter, gray, blur, solarize, rotate = jax.random.split(key, 7)
        image = self._crop(crop, canvas)
        image = maybe(flip, self.flip, lambda _, x: geometry.flip_horizontal(x), image)
        image = maybe(rotate, float(self.rotate > 0), self._rotate, image)
        colors = [
            functools.partial(maybe, jitter, self.jitter, self._jitter),
            functools.partial(maybe, gray, self.gray, self._gray),
        ]
        for stage in reversed(colors) if self.gray_first else colors:
            image = stage(image)
        image = maybe(blur, self.blur, self._blur, image)
        image = maybe(solarize, self.solarize, lambda _, x: color.solarize(x), image)
        return standardize(image) if self.standardize else normalize(image, self.mean, self.std)

    def _crop(self, key: jax.Array, canvas: Canvas) -> jax.Array:
        box = resample.random_resized_crop_box(key, canvas.size, self.scale, self.ratio)
        how = (self.interpolation, self.antialias)
        return resample.crop_and_resize(canvas.pixels, box, self.size, *how)

    def _rotate(self, key: jax.Array, image: jax.Array) -> jax.Array:
        angle = jax.random.uniform(key, (), jnp.float32, -self.rotate, self.rotate)
        return geometry.rotate(image, angle)

    def _jitter(self, key: jax.Array, image: jax.Array) -> jax.Array:
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        return color.random_color_jitter(key, image, *strengths)

    def _gray(self, _: jax.Array, image: jax.Array) -> jax.Array:
        return color.to_gray(image, color.GRAY_WEIGHTS[self.gray_weights])

    def _blur(self, key: jax.Array, image: jax.Array) -> jax.Array:
        sigma = jax.random.uniform(key, (), jnp.float32, *self.sigma)
        return gaussian_blur(image, sigma, largest_sigma=self.sigma[1])


@dataclasses.dataclass(frozen=True)
class CenterView(Checked):
    """The view of evaluation: short side to `resize`, central square of `size`, normalise.

    Attributes:
      size: side of the view in pixels, at most `resize`.
      resize: length of the image's short side before the crop, in pixels.
      interpolation: 'bilinear', 'bicubic' or 'lanczos', antialiased.
      mean, std: per channel, on the 0..255 scale.
      standardize: normalise by the view's own mean and deviation instead, see
        `jssl.augment.ops.normalize.standardize`; pictures still go by `mean` and `std`.

    Raises:
      JsslError: an option is out of its range.
    """

    size: Side = 224
    resize: Side = 256
    interpolation: str = 'bilinear'
    mean: tuple[Finite, ...] = IMAGENET_MEAN
    std: tuple[Positive, ...] = IMAGENET_STD
    standardize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = (
            f'the crop does not fit; give at most resize, which is {self.resize}, '
            f"or raise resize (--config.eval_view.resize={self.size} for the evaluation's view)"
        )
        checks.require(self.size <= self.resize, self, 'size', remedy)
        checks.check_interpolation(self)
        checks.store_statistics(self)

    def __call__(self, canvas: Canvas) -> jax.Array:
        """Make the view.

        Args:
          canvas: one canvas.

        Returns:
          Float32 `(size, size, C)`, normalised.

        Raises:
          JsslError: the canvas has another number of channels than `mean`.
        """
        checks.check_channels(self, canvas.pixels.shape[-1])
        image = resample.resize_and_center_crop(
            canvas.pixels, canvas.size, self.resize, self.size, self.interpolation
        )
        return standardize(image) if self.standardize else normalize(image, self.mean, self.std)


def maybe(
    key: jax.Array,
    probability: float,
    operation: Callable[[jax.Array, jax.Array], jax.Array],
    image: jax.Array,
) -> jax.Array:
    """Apply `operation(key, image)` with the given probability; 0 costs nothing."""
    if probability == 0:
        return image
    chance, key = jax.random.split(key)
    if probability == 1:
        return operation(key, image)
    chosen = jax.random.uniform(chance, (), jnp.float32) < probability
    return jnp.where(chosen, operation(key, image), image)
