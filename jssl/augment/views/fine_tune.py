"""The view of supervised fine-tuning: RandAugment, jitter and erasing."""

import dataclasses
from typing import Annotated

import jax

from jssl.augment.ops import color, geometry, resample
from jssl.augment.ops.erase import random_erase
from jssl.augment.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from jssl.augment.ops.rand_augment import rand_augment
from jssl.augment.views import checks
from jssl.augment.views.view import maybe
from jssl.checks import (
    Checked,
    Finite,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Range,
    Share,
    Side,
)
from jssl.data.canvas import Canvas


@dataclasses.dataclass(frozen=True)
class FineTuneView(Checked):
    """Crop, flip, RandAugment (Cubuk et al. 2020), jitter, normalise, erase (Zhong et al. 2020).

    The defaults are those of the reference's recipes for Vision Transformers.

    Attributes:
      size: side of the view in pixels.
      scale, ratio: bounds of the crop's area, as a fraction of the image, and of width/height.
      interpolation: 'bilinear', 'bicubic' or 'lanczos', antialiased.
      flip: probability of mirroring.
      operations: of RandAugment, each applied in half of the images; 0 leaves them out.
      level, level_std: mean and deviation of the level that they are drawn at, of 10.
      jitter: largest relative change of brightness, contrast and saturation, in every image; 0
        leaves it out.
      erase: probability of erasing a rectangle.
      area: bounds of the erased area, as a fraction of the view.
      mean, std: per channel, on the 0..255 scale.

    Raises:
      JsslError: an option is out of its range.
    """

    size: Side = 224
    scale: tuple[Share, Share] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    interpolation: str = 'bicubic'
    flip: Fraction = 0.5
    operations: Natural = 2
    level: Annotated[float, Range(0, 10)] = 9.0
    level_std: NonNegative = 0.5
    jitter: Fraction = 0.0
    erase: Fraction = 0.25
    area: tuple[Share, Share] = (0.02, 1 / 3)
    mean: tuple[Finite, ...] = IMAGENET_MEAN
    std: tuple[Positive, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_interpolation(self)
        checks.store_interval(self, 'scale')
        checks.store_interval(self, 'ratio')
        checks.store_interval(self, 'area')
        checks.store_statistics(self)

    def __call__(self, key: jax.Array, canvas: Canvas) -> jax.Array:
        """Draw one view.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          Float32 `(size, size, C)`, normalised.

        Raises:
          JsslError: the canvas has another number of channels than `mean`, or is grey while
            `operations` or `jitter` is not 0.
        """
        on = [f'FineTuneView.{name}' for name in ('operations', 'jitter') if getattr(self, name)]
        checks.check_channels(self, canvas.pixels.shape[-1], ' and '.join(on))
        crop, flip, operations, jitter, erase = jax.random.split(key, 5)
        box = resample.random_resized_crop_box(crop, canvas.size, self.scale, self.ratio)
        image = resample.crop_and_resize(canvas.pixels, box, self.size, self.interpolation)
        image = maybe(flip, self.flip, lambda _, x: geometry.flip_horizontal(x), image)
        if self.operations:
            image = rand_augment(operations, image, self.operations, self.level, self.level_std)
        if self.jitter:
            strengths = (self.jitter, self.jitter, self.jitter, 0.0)
            image = color.random_color_jitter(jitter, image, *strengths)
        image = normalize(image, self.mean, self.std)
        return random_erase(erase, image, self.erase, self.area) if self.erase else image
