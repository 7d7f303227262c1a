"""The pipeline of a config as the views of jssl, with the mask that it draws and its statistics."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jssl.errors import JsslError, show
from jssl.interop.configs.notes import Fields, Notes
from jssl.interop.configs.transforms import STAGES, as_fields, interpolation, kind_of, side
from jssl.interop.configs.transforms import transform as carried
from jssl.interop.configs.values import Place, Section

# What reads, packs and converts images: the canvas and the batch are that here.
IDLE = (
    *('PackSelfSupInputs', 'PackInputs', 'ToTensor'),
    *('ToPIL', 'ToNumpy', 'ImageToTensor', 'Collect', 'PackClsInputs'),
)
MASKS = (
    *('BEiTMaskGenerator', 'SimMIMMaskGenerator', 'MaskFeatMaskGenerator'),
    'BlockwiseMaskGenerator',  # SimMIM's, in release 0.9
)
# As they are written.
ORDER = (
    *('size', 'scale', 'ratio', 'interpolation', 'antialias', 'flip', 'rotate', 'gray_first'),
    *('jitter', 'brightness', 'contrast', 'saturation', 'hue', 'gray', 'gray_weights'),
    *('blur', 'sigma', 'solarize'),
)
OFF: dict[str, Any] = {'flip': 0.0, 'jitter': 0.0, 'gray': 0.0, 'blur': 0.0}  # unless they occur
MOST_VIEWS = 1000
FROM_IMAGE = 255  # levels of a pixel, of which torchvision's statistics are a share
Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """By what the pixels are normalised, on the scale from 0 to 255.

    Attributes:
      mean, std: a number a channel.
      tokens: mean and deviation of a second image, for a tokenizer; None where there is none.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    tokens: tuple[float, float] | None = None

    def fields(self) -> Config:
        """As the fields of a view."""
        return {'mean': self.mean, 'std': self.std}


@dataclasses.dataclass
class Pipeline:
    """What a pipeline does with an image.

    Attributes:
      views: the section of a config of jssl.
      statistics: of the pixels.
      mask: the mask generator in it, if there is one.
    """

    views: Config
    statistics: Statistics
    mask: Section | None = None


IMAGENET = Statistics((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


class Pipelines:
    """Carries pipelines over.

    Args:
      notes: is told what has no counterpart.
      older: whether the config is of release 0.x.
      statistics: of the pixels, where the pipeline does not say them.
    """

    def __init__(self, notes: Notes, *, older: bool, statistics: Statistics | None) -> None:
        self._notes, self._older = notes, older
        self._statistics = statistics
        self.mask: Section | None = None

    @property
    def statistics(self) -> Statistics:
        """Of the pixels; those of images that are not normalised, where nothing says them."""
        levels = float(FROM_IMAGE) if self._older else 1.0  # of what ToTensor gives
        return self._statistics or Statistics((0.0,) * 3, (levels,) * 3)

    def of(self, transforms: Any, place: Place, name: str = 'pipeline') -> Config:
        """The views of the pipeline of a newer release.

        Args:
          transforms: the list.
          place: its line.
          name: what it is called.
        """
        steps = self._steps(transforms, place, name)
        kinds = {kind_of(step): step for step in steps}
        if 'MultiView' in kinds:
            multi = kinds['MultiView']
            counts, several = multi.take('num_views', 1), multi.take('transforms', [])
            multi.finish()
            self._nothing_beside(steps, 'MultiView')
            counts = [counts] if isinstance(counts, int) else counts
            return self.several(counts, several, multi)
        if 'RandomPatchWithLabels' in kinds:
            return self.patches([step.section for step in steps], place)
        sections = [step.section for step in steps if kind_of(step) != 'RotationWithLabels']
        view = self._single(sections, place, name)
        if 'RotationWithLabels' in kinds:
            return {'type': 'Rotations', 'view': view}
        return self._alone(view)

    def _alone(self, view: Config) -> Config:
        single = view['type'] == 'View' or 'Crop' in view['type']
        return {'type': 'MultiView', 'copies': 1, 'view': view} if single else view

    def several(self, counts: Any, pipelines: Any, fields: Fields) -> Config:
        """Views by several pipelines, as many of each as `counts` says."""
        lists = isinstance(counts, list | tuple) and isinstance(pipelines, list | tuple)
        fitting = lists and len(counts) == len(pipelines) and 1 <= len(counts) <= 2
        if not fitting or not all(isinstance(n, int) and 1 <= n <= MOST_VIEWS for n in counts):
            raise fields.wrong('num_views', counts, 'a number for each of one or two pipelines')
        views = [
            self._single(pipeline, fields.place, f'{fields.name}.{place}')
            for place, pipeline in enumerate(pipelines)
        ]
        if len(views) == 1:
            return {'type': 'MultiView', 'copies': counts[0], 'view': views[0]}
        if list(counts) == [1, 1]:
            return {'type': 'Pair', 'first': views[0], 'second': views[1]}
        copies = {'large_copies': counts[0], 'small_copies': counts[1]}
        return {'type': 'MultiCrop', 'large': views[0], 'small': views[1], **copies}

    def single(self, transforms: Any, place: Place) -> Config:
        """One view of an image, by a pipeline of release 0.x."""
        return self._alone(self._single(transforms, place, 'pipeline'))

    def turns(self, transforms: Any, place: Place) -> Config:
        """Four turns of one view, by a pipeline of release 0.x."""
        return {'type': 'Rotations', 'view': self._single(transforms, place, 'pipeline')}

    def patches(self, transforms: Any, place: Place, ending: Any = ()) -> Config:
        """Nine patches of a square; `ending` is what release 0.x does with each of them."""
        fields: Config = {'gray': 0.0}
        for step in self._steps([*transforms, *ending], place, 'pipeline'):
            name = kind_of(step)
            if name == 'Resize':
                fields['resize'] = side(step, 'size') if self._older else side(step, 'scale')
                # By its short side, and antialiased, with torchvision; else as OpenCV does.
                by_opencv = not self._older and step.take('backend', 'cv2') == 'cv2'
                fields |= {} if by_opencv else {'antialias': True}
                fields |= {'keep_ratio': True} if self._older else {}
            elif name == 'RandomCrop':
                fields['crop'] = side(step, 'size', 'crop_size')
            elif name == 'RandomGrayscale':
                _, made = carried(step.section, step, self._older)
                weights = made.pop('gray_weights', 'itu')
                fields |= made | ({} if weights == 'equal' else {'gray_weights': weights})
                continue
            elif name != 'RandomPatchWithLabels':
                self._notes.miss(step.place, step.name, f'{show(name)} in a pipeline of patches')
                continue
            step.finish()
        if 'resize' not in fields or ('crop' not in fields and self._older):
            self._notes.miss(place, 'pipeline', 'patches are of a square: Resize, then RandomCrop')
        # Without RandomCrop the patches are of the whole image, which Resize has made a square.
        fields = {'crop': fields.get('resize', 255)} | fields
        patch = {'patch': fields['crop'] // 3 - 21}  # a cell less the jitter, as it is there
        return {'type': 'Patches'} | fields | patch | self.statistics.fields()

    def _steps(self, transforms: Any, place: Place, name: str) -> list[Fields]:
        """The transforms that change an image; masks and statistics are noted apart."""
        if not isinstance(transforms, list | tuple):
            raise JsslError(f'{place}: {name}={show(transforms)} must be a list; correct it.')
        outer = Fields(Section(place), self._notes, name)
        steps: list[Fields] = []
        for section in transforms:
            step = as_fields(section, outer)
            found = kind_of(step)
            if found in MASKS:
                self.mask = step.section
            elif found == 'Normalize':
                self._statistics = _shares(step)
            elif found == 'LoadImageFromFile':
                step.only('color_type', 'color')
            elif found not in IDLE:
                steps.append(step)
        return steps

    def _nothing_beside(self, steps: Sequence[Fields], name: str) -> None:
        for step in steps:
            if kind_of(step) != name:
                text = f'{kind_of(step)} beside {name} would be drawn once for all views'
                self._notes.miss(step.place, step.name, text)

    def _single(self, transforms: Any, place: Place, name: str) -> Config:
        """One view: the fields of all transforms, which must stand in the order of a view."""
        fields, order = dict(OFF), list[tuple[str, Fields]]()
        for step in self._steps(transforms, place, name):
            if _is_padded(step):
                return self._padded(transforms, place, name)
            stage, made = carried(
                step.section, Fields(Section(step.place), self._notes, name), self._older
            )
            fields |= made
            if stage not in ('', 'flip'):
                order.append((stage, step))
        stages = [stage for stage, _ in order]
        if 'two sizes' in stages:
            return self._two_sizes(fields, order)
        if 'crop' not in stages:
            self._notes.miss(place, name, 'a pipeline without a crop that makes all images alike')
        fields |= self._order(order)
        ordered = {key: fields[key] for key in ORDER if key in fields}
        return {'type': 'View'} | ordered | self.statistics.fields()

    def _order(self, order: Sequence[tuple[str, Fields]]) -> Config:
        """Checks the order of the stages; grey may stand before the jitter."""
        stages = [stage for stage, _ in order]
        gray_first = {'gray', 'jitter'} <= set(stages) and (
            stages.index('gray') < stages.index('jitter')
        )
        known = list(STAGES)
        if gray_first:
            known[2:4] = 'gray', 'jitter'
        ranks = [known.index(stage) for stage in stages]
        for number, (_, step) in enumerate(order[1:], start=1):
            if ranks[number - 1] >= ranks[number]:
                text = f'{kind_of(step)} stands after what a view does later: {", ".join(known)}'
                self._notes.miss(step.place, step.name, text)
        return {'gray_first': True} if gray_first else {}

    def _two_sizes(self, fields: Config, order: Sequence[tuple[str, Fields]]) -> Config:
        """A crop for the encoder, and a smaller copy for a tokenizer."""
        for stage, step in order:
            if stage != 'two sizes':
                text = f'{kind_of(step)} has no place in views of an image and its tokens'
                self._notes.miss(step.place, step.name, text)
        if self._older:  # CAE normalises by itself there, and has no Normalize in its pipeline
            self._statistics = self._statistics or IMAGENET
        tokens = self.statistics.tokens
        kept = ('size', 'token_size', 'scale', 'ratio', 'interpolation', 'token_interpolation')
        made = {key: fields[key] for key in (*kept, 'flip') if key in fields}
        made |= self.statistics.fields()
        more = {} if tokens is None else {'token_mean': tokens[0], 'token_std': tokens[1]}
        return {'type': 'ImageAndTokens'} | made | more

    def _padded(self, transforms: Any, place: Place, name: str) -> Config:
        """The whole image, its short side resized, shifted by some pixels (torchvision's names)."""
        fields: Config = {'padding': 0, 'flip': 0.0}
        for step in self._steps(transforms, place, name):
            found = kind_of(step).removeprefix('torchvision/')
            if found == 'Resize':
                fields |= {'size': side(step, 'size')}
                fields |= {'interpolation': interpolation(step, 'interpolation')}
            elif found == 'RandomCrop':
                step.only('padding_mode', 'reflect')
                step.only('size', fields.get('size'), [fields.get('size')] * 2)
                fields |= {'padding': step.take('padding', 0)}
            elif found == 'RandomHorizontalFlip':
                fields |= {'flip': step.number('p', 'prob', default=0.5)}
            else:
                self._notes.miss(step.place, step.name, f'{show(found)} beside a padded crop')
            step.finish()
        return {'type': 'PaddedCrop'} | fields | self.statistics.fields()


def _is_padded(step: Fields) -> bool:
    return kind_of(step) == 'torchvision/Resize'


def _shares(step: Fields) -> Statistics:
    """The statistics of torchvision, of pixels from 0 to 1."""
    mean = step.numbers('mean', default=(0.0,) * 3, count=3)
    std = step.numbers('std', default=(1.0,) * 3, count=3)
    step.ignore('to_rgb')
    step.finish()
    return Statistics(*(tuple(round(x * FROM_IMAGE, 6) for x in part) for part in (mean, std)))


def preprocessor(fields: Fields, *, rgb: bool = False) -> Statistics:
    """The statistics of a `data_preprocessor`, for red, green and blue.

    Args:
      fields: of it.
      rgb: whether it gets images in this order; else in that of OpenCV.
    """
    if fields.section.get('mean') is None or fields.section.get('std') is None:
        raise JsslError(f'{fields.place}: the preprocessor lacks mean or std; add them.')
    mean, std = fields.numbers('mean', count=3), fields.numbers('std', count=3)
    turned = bool(fields.first('bgr_to_rgb', 'to_rgb') or fields.take('rgb_to_bgr'))
    if turned == rgb:
        text = 'the channels are blue, green, red there; here red, green, blue, with mean and std'
        fields.notes.differ(fields.place, f'{text} in that order')
        mean, std = mean[::-1], std[::-1]
    fields.ignore('type', 'non_blocking', 'num_classes')
    tokens = None
    if fields.take('second_mean') is not None:
        tokens = float(fields.numbers('second_mean')[0]), float(fields.numbers('second_std')[0])
    fields.finish()
    return Statistics(mean, std, tokens)


def evaluation(views: Config, statistics: Statistics) -> Config:
    """The central square of the size of the views, for jssl's evaluation of features."""
    parts = [views.get(key) for key in ('view', 'first', 'large')]
    view = next((part for part in parts if part), views)
    size = view.get('size', 224)
    kernel = view.get('interpolation', 'bilinear')
    made = {'type': 'CenterView', 'size': size, 'resize': size * 8 // 7, 'interpolation': kernel}
    return made | statistics.fields()
