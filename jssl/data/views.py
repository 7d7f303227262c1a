"""Policies: what turns one canvas into the views an algorithm trains on or is tested on.

Each is a frozen dataclass of options and a pure function of one key and one canvas; the train step
vmaps it over the batch. The operations are in `jssl.data.augment` and `jssl.data.color`.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jssl.data import augment, color
from jssl.errors import JsslError, suggest


class Canvas(NamedTuple):
    """One decoded image on the device.

    Attributes:
      pixels: uint8 `(S, S, C)`, RGB or grey, the image in the top-left corner.
      size: int32 `(2,)`, the image's true height and width.
    """

    pixels: jax.Array
    size: jax.Array


@dataclasses.dataclass(frozen=True)
class View:
    """One random view: crop, flip, colour jitter, grey, blur, solarize, normalise, in this order.

    The defaults are SimCLR's (Chen et al. 2020, appendix A). A stage whose probability is 0 is
    left out of the program; the draws of the others do not change by that.

    Attributes:
      size: side of the view in pixels.
      scale, ratio: bounds of the crop's area, as a fraction of the image, and of width/height.
      interpolation: 'bilinear' or 'bicubic', antialiased.
      flip, jitter, gray, blur, solarize: probability of each stage.
      brightness, contrast, saturation, hue: strength of the jitter, see `draw_color_jitter`.
      sigma: bounds of the blur's standard deviation in pixels.
      mean, std: per channel, on the 0..255 scale.

    Raises:
      JsslError: an option is out of its range.
    """

    size: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = 'bilinear'
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.8
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    gray: float = 0.2
    blur: float = 0.5
    sigma: tuple[float, float] = (0.1, 2.0)
    solarize: float = 0.0
    mean: tuple[float, ...] = augment.IMAGENET_MEAN
    std: tuple[float, ...] = augment.IMAGENET_STD

    def __post_init__(self) -> None:
        _check_size(self, 'size')
        _check_interpolation(self)
        for field in ('flip', 'jitter', 'gray', 'blur', 'solarize'):
            _check_number(self, field, 1.0)
        for field in ('brightness', 'contrast', 'saturation'):
            _check_number(self, field, math.inf)
        _check_number(self, 'hue', 0.5)
        _store_interval(self, 'scale', 1.0)
        _store_interval(self, 'ratio', math.inf)
        _store_interval(self, 'sigma', math.inf)
        _store_statistics(self)

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
        _check_channels(self, canvas, colored=self.jitter > 0 or self.gray > 0)
        crop, flip, jitter, gray, blur, solarize = jax.random.split(key, 6)
        box = augment.random_resized_crop_box(crop, canvas.size, self.scale, self.ratio)
        image = augment.crop_and_resize(canvas.pixels, box, self.size, self.interpolation)
        image = _maybe(flip, self.flip, lambda _, x: augment.flip_horizontal(x), image)
        image = _maybe(jitter, self.jitter, self._jitter, image)
        image = _maybe(gray, self.gray, lambda _, x: color.to_gray(x), image)
        image = _maybe(blur, self.blur, self._blur, image)
        image = _maybe(solarize, self.solarize, lambda _, x: color.solarize(x), image)
        return augment.normalize(image, self.mean, self.std)

    def _jitter(self, key: jax.Array, image: jax.Array) -> jax.Array:
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        return color.random_color_jitter(key, image, *strengths)

    def _blur(self, key: jax.Array, image: jax.Array) -> jax.Array:
        sigma = jax.random.uniform(key, (), jnp.float32, *self.sigma)
        return augment.gaussian_blur(image, sigma, largest_sigma=self.sigma[1])


@dataclasses.dataclass(frozen=True)
class MultiView:
    """Several views of one image, drawn independently from the same policy.

    Attributes:
      view: the policy.
      copies: how many views.

    Raises:
      JsslError: `copies` is not a positive whole number or `view` not a policy.
    """

    view: View
    copies: int = 2

    def __post_init__(self) -> None:
        _require(callable(self.view), self, 'view', 'give a policy such as View(size=224)')
        _check_size(self, 'copies')

    def __call__(self, key: jax.Array, canvas: Canvas) -> dict[str, tuple[jax.Array, ...]]:
        """Draw the views.

        Args:
          key: one typed key.
          canvas: one canvas.

        Returns:
          `{'views': (view, …)}`, each float32 `(size, size, C)`.
        """
        keys = jax.random.split(key, self.copies)
        views = jax.vmap(self.view, in_axes=(0, None))(keys, canvas)  # traced once for all copies
        return {'views': tuple(views)}


@dataclasses.dataclass(frozen=True)
class CenterView:
    """The view of evaluation: short side to `resize`, central square of `size`, normalise.

    Attributes:
      size: side of the view in pixels, at most `resize`.
      resize: length of the image's short side before the crop, in pixels.
      interpolation: 'bilinear' or 'bicubic', antialiased.
      mean, std: per channel, on the 0..255 scale.

    Raises:
      JsslError: an option is out of its range.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = 'bilinear'
    mean: tuple[float, ...] = augment.IMAGENET_MEAN
    std: tuple[float, ...] = augment.IMAGENET_STD

    def __post_init__(self) -> None:
        _check_size(self, 'size')
        _check_size(self, 'resize')
        remedy = f'the crop does not fit; give at most resize, which is {self.resize}'
        _require(self.size <= self.resize, self, 'size', remedy)
        _check_interpolation(self)
        _store_statistics(self)

    def __call__(self, canvas: Canvas) -> jax.Array:
        """Make the view.

        Args:
          canvas: one canvas.

        Returns:
          Float32 `(size, size, C)`, normalised.

        Raises:
          JsslError: the canvas has another number of channels than `mean`.
        """
        _check_channels(self, canvas, colored=False)
        image = augment.resize_and_center_crop(
            canvas.pixels, canvas.size, self.resize, self.size, self.interpolation
        )
        return augment.normalize(image, self.mean, self.std)


def _maybe(
    key: jax.Array,
    probability: float,
    operation: Callable[[jax.Array, jax.Array], jax.Array],
    image: jax.Array,
) -> jax.Array:
    """Apply `operation(key, image)` with the given probability; 0 costs nothing."""
    if probability == 0:
        return image
    chance, key = jax.random.split(key)
    chosen = jax.random.uniform(chance, (), jnp.float32) < probability
    return jnp.where(chosen, operation(key, image), image)


def _require(holds: bool, policy: object, field: str, remedy: str) -> None:
    if not holds:
        name = f'{type(policy).__name__}.{field}'
        raise JsslError(f'{name} is {getattr(policy, field)!r}; {remedy}.')


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and bool(math.isfinite(value))


def _check_size(policy: object, field: str) -> None:
    value = getattr(policy, field)
    positive = isinstance(value, (int, np.integer)) and bool(value >= 1)
    _require(positive, policy, field, 'give a whole number of at least 1')


def _check_number(policy: object, field: str, highest: float) -> None:
    value = getattr(policy, field)
    bounds = 'of at least 0' if math.isinf(highest) else f'between 0 and {highest:g}'
    inside = _is_number(value) and bool(0 <= value <= highest)
    _require(inside, policy, field, f'give a number {bounds}')


def _check_interpolation(policy: 'View | CenterView') -> None:
    value = policy.interpolation
    known = isinstance(value, str) and value in augment.KERNELS
    remedy = f'give a known filter. {suggest(str(value), augment.KERNELS)}'
    _require(known, policy, 'interpolation', remedy.rstrip('.'))


def _check_channels(policy: 'View | CenterView', canvas: Canvas, colored: bool) -> None:
    channels = canvas.pixels.shape[-1]
    remedy = f'the images have {channels} channel(s); give one number for each'
    _require(len(policy.mean) == channels, policy, 'mean', remedy)
    if colored and channels != 3:
        name = type(policy).__name__
        raise JsslError(
            f'{name} has colour stages but the images have {channels} channel(s); '
            f'set {name}.jitter and {name}.gray to 0.'
        )


def _store_numbers(policy: object, field: str, remedy: str) -> tuple[float, ...]:
    """Replace the field, a list or a tuple of numbers, by a tuple and return it."""
    value = getattr(policy, field)
    valid = isinstance(value, (list, tuple)) and all(_is_number(number) for number in value)
    _require(valid, policy, field, remedy)
    object.__setattr__(policy, field, tuple(value))
    return tuple(value)


def _store_interval(policy: View, field: str, highest: float) -> None:
    bound = '' if math.isinf(highest) else f', none above {highest:g}'
    remedy = f'give two positive numbers, the smaller one first{bound}'
    value = _store_numbers(policy, field, remedy)
    increasing = len(value) == 2 and 0 < value[0] <= value[1] <= highest
    _require(increasing, policy, field, remedy)


def _store_statistics(policy: 'View | CenterView') -> None:
    remedy = 'give one number per channel, on the scale of 0 to 255'
    mean = _store_numbers(policy, 'mean', remedy)
    std = _store_numbers(policy, 'std', remedy)
    positive = len(std) == len(mean) and all(number > 0 for number in std)
    _require(positive, policy, 'std', f'{remedy}, positive and as many as in mean')
