"""What lies beside a file of weights and says more of it: `config.json` of Hugging Face or timm.

Only numbers are taken out of them, and only where they speak of a network as wide as the weights.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.errors import JsslError

CONFIG, IMAGES = 'config.json', 'preprocessor_config.json'
LARGEST = 1 << 20  # bytes
# Fields there -> here; of what is neither here nor there the layout's own value holds.
FIELDS = {'num_attention_heads': 'num_heads', 'layer_norm_eps': 'norm_epsilon'}
RESAMPLE = {'bilinear': 2, 'bicubic': 3, 'lanczos': 1}  # as Pillow counts them
# Architectures of timm with filters before strides, norms after branches, and norms of other kinds.
OTHERWISE = re.compile(r'resne[sx]?t(aa|blur)|_rpn|_rms')
CROP = 0.875  # of a resized image's side that is evaluated, where nothing else is known


@dataclasses.dataclass(frozen=True)
class Companions:
    """The contents of both files, empty where there are none."""

    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    images: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def _width(self) -> Any:
        """That of the features of the network which Hugging Face's config speaks of."""
        told = self._vision
        sizes = told.get('hidden_sizes')
        last = sizes[-1] if isinstance(sizes, list) and sizes else None
        return told.get('hidden_size', last)

    def network(self, width: int | None) -> dict[str, Any]:
        """Fields of the backbone that the arrays do not tell.

        Args:
          width: of the tokens; None where there are none.

        Raises:
          JsslError: timm's architecture has such arrays and computes otherwise.
        """
        told = self._vision
        if self._width == width and width is not None:
            found = {FIELDS[key]: told[key] for key in FIELDS if _is_number(told, key)}
            if _is_number(told, 'rope_theta'):
                found['rotary'] = {'base': float(told['rope_theta'])}
            return found
        if self.config.get('num_features') != width:
            return {}
        if OTHERWISE.search(str(self.config.get('architecture'))):
            raise JsslError(
                f'Its {CONFIG} says architecture={self.config["architecture"]!r}, which computes '
                'otherwise than what has the same arrays in jssl.'
            )
        options = self._options
        return {'num_heads': options['num_heads']} if _is_number(options, 'num_heads') else {}

    def activation(self, width: int | None) -> Any:
        """That of the feed-forward networks, by its name there; None where it is not told."""
        told = self._vision
        if self._width == width and width is not None:
            return told.get('hidden_act')
        return self._options.get('act_layer') if self.config.get('num_features') == width else None

    @property
    def _options(self) -> Mapping[str, Any]:
        """The arguments of timm's constructor."""
        found = self.config.get('model_args')
        return found if isinstance(found, Mapping) else {}

    @property
    def _vision(self) -> Mapping[str, Any]:
        """Of a model of images and texts the part that speaks of images."""
        inner = self.config.get('vision_config')
        return inner if isinstance(inner, Mapping) else self.config

    def view(self, width: int | None, side: int | None) -> dict[str, Any]:
        """Fields of `CenterView`, for images of `side` pixels; None for a side that is unknown."""
        timm = self.config.get('num_features') == width and width is not None
        told = _of_timm(self.config.get('pretrained_cfg'), side) if timm else {}
        told = told or _of_hugging_face(self.images, side)
        return told if side is None else {'size': side, 'resize': round(side / CROP)} | told


def _of_timm(told: Any, side: int | None) -> dict[str, Any]:
    """Fields of `CenterView` by a `pretrained_cfg`, such as ``{'crop_pct': 0.9, 'mean': […]}``."""
    if not isinstance(told, Mapping):
        return {}
    fields = _moments(told, '')
    if told.get('interpolation') in list(RESAMPLE):
        fields['interpolation'] = told['interpolation']
    if side and _is_number(told, 'crop_pct') and 0 < told['crop_pct'] <= 1:
        fields['resize'] = math.floor(side / told['crop_pct'])  # as timm rounds it
    return fields


def _of_hugging_face(told: Mapping[str, Any], side: int | None) -> dict[str, Any]:
    """Fields of `CenterView` by what prepares images there, such as ``{'resample': 3}``."""
    fields = _moments(told, 'image_')
    names = [name for name, number in RESAMPLE.items() if told.get('resample') == number]
    if names:
        fields['interpolation'] = names[0]
    size = told.get('size')
    edge = size.get('shortest_edge') if isinstance(size, Mapping) else None
    cropped = told.get('do_center_crop') is not False
    if side and cropped and isinstance(edge, int) and edge >= side:
        fields['resize'] = edge
    return fields


def _moments(told: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Mean and deviation of values from 0 to 255; there they are of values from 0 to 1."""
    found = {}
    for name in ('mean', 'std'):
        values = told.get(prefix + name)
        if isinstance(values, list) and values and all(map(_plain, values)):
            found[name] = tuple(255.0 * value for value in values)
    return found


def read_companions(weights: Path) -> Companions:
    """What lies beside the file `weights`."""
    return Companions(*(_read(weights.with_name(name)) for name in (CONFIG, IMAGES)))


def _read(path: Path) -> dict[str, Any]:
    """A file of JSON; empty where there is none, or it is another kind of file."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_number(fields: Mapping[str, Any], key: str) -> bool:
    return _plain(fields.get(key))


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
