"""Data: where samples come from, their canvases, and the batches that a step sees.

Importing it is cheap: every name is imported when it is first used, because a process that decodes
needs no JAX; tensorflow_datasets and scikit-learn are imported where they are called.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jssl.data.canvas import decode as decode
    from jssl.data.loader import Loader as Loader
    from jssl.data.loader import fits_on_device as fits_on_device
    from jssl.data.loader import resident as resident
    from jssl.data.order import Order as Order
    from jssl.data.sources import TFDS as TFDS
    from jssl.data.sources import Arrays as Arrays
    from jssl.data.sources import Folder as Folder
    from jssl.data.sources import ImageList as ImageList
    from jssl.data.sources import Sample as Sample
    from jssl.data.sources import Source as Source
    from jssl.data.views import Canvas as Canvas
    from jssl.data.views import CenterView as CenterView
    from jssl.data.views import MultiView as MultiView
    from jssl.data.views import View as View

_HOMES = {
    'TFDS': 'jssl.data.sources',
    'Arrays': 'jssl.data.sources',
    'Canvas': 'jssl.data.views',
    'CenterView': 'jssl.data.views',
    'Folder': 'jssl.data.sources',
    'ImageList': 'jssl.data.sources',
    'Loader': 'jssl.data.loader',
    'MultiView': 'jssl.data.views',
    'Order': 'jssl.data.order',
    'Sample': 'jssl.data.sources',
    'Source': 'jssl.data.sources',
    'View': 'jssl.data.views',
    'decode': 'jssl.data.canvas',
    'fits_on_device': 'jssl.data.loader',
    'resident': 'jssl.data.loader',
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_HOMES[name]), name)
