"""What lies beside a file of weights and says more of it: `config.json` of Hugging Face or timm.

Only numbers are taken out of them, and only where they speak of a network as wide as the weights.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.errors import JsslError

CONFIG, IMAGES = 'config.json', 'preprocessor_config.json'
LARGEST = 1 << 20  # bytes
# Fields there -> here; of what is neither here nor there the layout's own value holds.
FIELDS = {'num_attention_heads': 'num_heads', 'layer_norm_eps': 'norm_epsilon'}
# Of Hugging Face's `hidden_act`; networks with a gate have a silu in any case.
ACTIVATIONS = {'gelu': 'gelu', 'gelu_pytorch_tanh': 'gelu_tanh'}
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

    def network(self, width: int | None, gated: bool) -> dict[str, Any]:
        """Fields of the backbone that the arrays do not tell.

        Args:
          width: of the tokens; None where there are none.
          gated: whether its feed-forward networks have a gate, which is a silu.

        Raises:
          JsslError: it has an activation that jssl's networks do not have.
        """
        told = self._vision
        if self._width == width and width is not None:
            found = {FIELDS[key]: told[key] for key in FIELDS if _is_number(told, key)}
            if _is_number(told, 'rope_theta'):
                found['rotary'] = {'base': float(told['rope_theta'])}
            return found | ({} if gated else _activation(told.get('hidden_act')))
        options = self.config.get('model_args')
        if self.config.get('num_features') == width and isinstance(options, Mapping):
            return {'num_heads': options['num_heads']} if _is_number(options, 'num_heads') else {}
        return {}

    @property
    def _vision(self) -> Mapping[str, Any]:
        """Of a model of images and texts the part that speaks of images."""
        inner = self.config.get('vision_config')
        return inner if isinstance(inner, Mapping) else self.config

    def view(self, width: int | None, side: int | None) -> dict[str, Any]:
        """Fields of `CenterView`, for images of `side` pixels."""
        if side is None:
            return {}
        fields: dict[str, Any] = {'size': side, 'resize': round(side / CROP)}
        told = self.images, ('image_mean', 'image_std')
        if self.config.get('num_features') == width and width is not None:
            told = self.config.get('pretrained_cfg') or {}, ('mean', 'std')
        for ours, theirs in zip(('mean', 'std'), told[1], strict=True):
            values = told[0].get(theirs) if isinstance(told[0], Mapping) else None
            if isinstance(values, list) and len(values) == 3 and all(map(_plain, values)):
                fields[ours] = tuple(255.0 * value for value in values)
        return fields


def _activation(told: Any) -> dict[str, Any]:
    if told is None:
        return {}
    if told not in ACTIVATIONS:
        raise JsslError(
            f'Its {CONFIG} has hidden_act={told!r}, where the networks of jssl have one of '
            f'{", ".join(ACTIVATIONS)}: the exact gelu, or its approximation by tanh.'
        )
    return {} if told == 'gelu' else {'activation': ACTIVATIONS[told]}


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
