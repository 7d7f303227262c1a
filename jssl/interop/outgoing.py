"""Weights of jssl in a layout of another library."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.linen as nn

from jssl.errors import JsslError
from jssl.interop.layouts.layout import Arrays, Layout
from jssl.interop.metadata import LAYOUT
from jssl.weights.files import write_weights

if TYPE_CHECKING:
    from jssl.interop.exporters import Parcel

MODEL = 'model.safetensors'  # in a folder of Hugging Face or timm
MOMENTS = ('mean', 'std')
PYTORCH = {'format': 'pt'}  # without which Hugging Face reads no file


def fitting_layout(backbone: nn.Module | None, *layouts: Layout) -> Layout:
    """That of the layouts whose networks are of the backbone's kind.

    Raises:
      JsslError: there is none.
    """
    kinds = {kind.__name__ for kind in type(backbone).__mro__}
    for layout in layouts:
        if layout.kind in kinds:
            return layout
    known = ' or '.join(dict.fromkeys(layout.kind for layout in layouts))
    raise JsslError(
        f'This format is for a backbone that is a {known}, and this is '
        f'{"more than a backbone" if backbone is None else type(backbone).__name__}; export it as '
        'safetensors.'
    )


def named(parcel: 'Parcel', layout: Layout) -> Arrays:
    """The arrays in the names of a layout."""
    return layout.send(parcel.arrays, parcel.backbone)


def write_named(path: Path, parcel: 'Parcel', *layouts: Layout) -> None:
    """Writes a .safetensors file in that of the layouts that fits.

    Raises:
      JsslError: none does, or arrays have no place in it.
      OSError: it cannot be written.
    """
    layout = fitting_layout(parcel.backbone, *layouts)
    write_weights(path, named(parcel, layout), said(parcel, layout))


def said(parcel: 'Parcel', layout: Layout) -> dict[str, str]:
    """What a file in the names of a layout says of itself."""
    return {**PYTORCH, **parcel.metadata, LAYOUT: layout.name}


def evaluated(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a file says of the preparation of images, mean and deviation of values from 0 to 1."""
    view = json.loads(metadata.get('eval_view', '{}'))
    return view | {key: [value / 255 for value in view[key]] for key in MOMENTS if key in view}
