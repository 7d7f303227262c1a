"""The transforms of a pipeline of the reference, each as fields of a view and its stage in that.

Releases have other names for some, and for their settings. Probabilities and strengths are the same
here; what a transform of the reference cannot say here is noted with its line.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jssl.errors import JsslError, show
from jssl.interop.configs.notes import Fields
from jssl.interop.configs.values import Section

# In the order that a view has; mirroring may stand anywhere, for it commutes with all others.
STAGES = ('crop', 'rotate', 'jitter', 'gray', 'blur', 'solarize')
FILTERS = {2: 'bilinear', 3: 'bicubic', 'bilinear': 'bilinear', 'bicubic': 'bicubic'}
ITU = (0.114, 0.587, 0.2989)  # of blue, green, red
RATIO = (3 / 4, 4 / 3)  # of the sides of a crop, if nothing else is said
Made = tuple[str, dict[str, Any]]
Transform = Callable[[Fields, bool], Made]


def crop(fields: Fields, older: bool) -> Made:
    """A crop of random size; without Pillow, newer releases resize as OpenCV does."""
    size = side(fields, 'size', 'scale') if 'size' in fields else side(fields, 'scale')
    keys = ('scale', 'crop_ratio_range') if 'size' in fields else ('crop_ratio_range',)
    area = fields.numbers(*keys, default=(0.08, 1.0), count=2)
    ratio = fields.numbers('ratio', 'aspect_ratio_range', default=RATIO, count=2)
    kernel = interpolation(fields, 'interpolation')
    by_opencv = not older and fields.take('backend', 'cv2') != 'pillow'
    if by_opencv and kernel != 'bilinear':
        fields.notes.differ(
            fields.where('interpolation'),
            f'{kernel} without antialiasing, as OpenCV resizes, becomes {kernel} with it, as '
            'Pillow does',
        )
    fields.ignore('max_attempts')
    made = dict(size=size, scale=area, interpolation=kernel)
    made |= {} if ratio == RATIO else {'ratio': ratio}
    return 'crop', made | ({'antialias': False} if by_opencv and kernel == 'bilinear' else {})


def side(fields: Fields, *keys: str) -> int:
    """A side in pixels, of a square."""
    value = fields.first(*keys, default=224)
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if not whole or len(set(sides)) != 1:
        raise fields.wrong(keys[0], value, 'one number of pixels, for both sides')
    return sides[0]


def interpolation(fields: Fields, key: str, default: str = 'bilinear') -> str:
    """The filter that resizes."""
    value = fields.take(key, default)
    known = {**FILTERS, 'lanczos': 'lanczos'}
    if not isinstance(value, str | int) or value not in known:
        fields.miss(key, value, f'the filters here are {", ".join(sorted(set(known.values())))}')
        return default
    return known[value]


def flip(fields: Fields, older: bool) -> Made:
    """Mirroring."""
    del older
    fields.only('direction', 'horizontal')
    return 'flip', {'flip': fields.number('prob', 'p', default=0.5)}


def jitter(fields: Fields, older: bool) -> Made:
    """Random colours, of every image; `apply` makes that some."""
    del older
    names = ('brightness', 'contrast', 'saturation', 'hue')
    fields.ignore('backend')
    return 'jitter', {'jitter': 1.0} | {name: fields.number(name, default=0.0) for name in names}


def gray(fields: Fields, older: bool) -> Made:
    """Grey: by the mean of the channels in newer releases, unless they give weights."""
    weights = fields.numbers('channel_weights', default=ITU if older else (1.0, 1.0, 1.0))
    fields.ignore('keep_channels', 'color_format')
    known = {ITU: 'itu', (1.0, 1.0, 1.0): 'equal'}
    if weights not in known:
        fields.miss('channel_weights', weights, 'they are those of ITU-R 601, or equal')
    made: dict[str, Any] = {'gray': fields.number('prob', 'p', default=0.1)}
    return 'gray', made | ({'gray_weights': 'equal'} if known.get(weights) == 'equal' else {})


def blur(fields: Fields, older: bool) -> Made:
    """Gaussian blur of a random width."""
    del older
    bounds = fields.number('sigma_min', default=0.1), fields.number('sigma_max', default=2.0)
    sigma = fields.numbers('magnitude_range', default=bounds, count=2)
    if 'magnitude_range' in fields:
        fields.only('magnitude_std', 'inf')
    fields.ignore('magnitude_level')
    return 'blur', {'blur': fields.number('prob', 'p', default=0.5), 'sigma': sigma}


def solarize(fields: Fields, older: bool) -> Made:
    """Inverting what is brighter than half."""
    del older
    fields.only('threshold', 128)
    fields.only('thr', 128)
    return 'solarize', {'solarize': fields.number('prob', 'p', default=0.5)}


def rotate(fields: Fields, older: bool) -> Made:
    """Turning by up to some degrees in both directions."""
    del older
    return 'rotate', {'rotate': fields.number('degrees', default=0.0)}


def apply(fields: Fields, older: bool) -> Made:
    """Another transform, in some of the images."""
    inner, share = fields.take('transforms', ()), fields.number('prob', 'p', default=0.5)
    if not isinstance(inner, list | tuple) or len(inner) != 1:
        raise fields.wrong('transforms', inner, 'a list of one transform')
    stage, made = transform(inner[0], fields, older)
    return stage, made | {stage: round(made.get(stage, 1.0) * share, 12)}


def two_sizes(fields: Fields, older: bool) -> Made:
    """A crop in two sizes, or in one where there is no second."""
    made = {
        'size': side(fields, 'size'),
        'scale': fields.numbers('scale', default=(0.08, 1.0), count=2),
        'interpolation': interpolation(fields, 'interpolation'),
    }
    made |= {'ratio': fields.numbers('ratio', count=2)} if 'ratio' in fields else {}
    second = fields.take('second_size')
    kernel = interpolation(fields, 'second_interpolation', 'lanczos')
    if second is None:
        return 'crop', made
    return 'two sizes', made | {'token_size': second, 'token_interpolation': kernel}


KNOWN: Mapping[str, Transform] = {
    'RandomResizedCrop': crop,
    'RandomFlip': flip,
    'RandomHorizontalFlip': flip,
    'torchvision/RandomHorizontalFlip': flip,
    'ColorJitter': jitter,
    'RandomGrayscale': gray,
    'RandomGaussianBlur': blur,
    'GaussianBlur': blur,
    'RandomSolarize': solarize,
    'Solarization': solarize,
    'Solarize': solarize,
    'RandomRotation': rotate,
    'RandomApply': apply,
    'RandomAppliedTrans': apply,
    'RandomResizedCropAndInterpolationWithTwoPic': two_sizes,
}


def transform(section: Any, outer: Fields, older: bool) -> Made:
    """The stage of a transform, and the fields that it sets.

    Raises:
      JsslError: it is no dict with a type; what is not known is noted.
    """
    fields = as_fields(section, outer)
    name = kind_of(fields)
    if name not in KNOWN:
        text = f'the transform {show(name)} is not known'
        fields.notes.miss(fields.place, fields.name, text)
        return '', {}
    stage, made = KNOWN[name](fields, older)
    fields.finish()
    return stage, made


def as_fields(section: Any, outer: Fields) -> Fields:
    """The entries of a transform but for its type."""
    if not isinstance(section, Section) or 'type' not in section:
        raise JsslError(
            f"{outer.place}: a transform is a dict with a 'type', not {show(section)}; correct it."
        )
    fields = Fields(section, outer.notes, '')
    fields.name = f'{outer.name}.{kind_of(fields)}'
    return fields


def kind_of(fields: Fields) -> str:
    """The type of a transform without its scope."""
    return str(fields.take('type')).rpartition('.')[2]
