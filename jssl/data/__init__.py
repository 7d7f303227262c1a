"""Data: where samples come from, their canvases, and the batches that a step sees.

Importing it is cheap: every name is imported when it is first used, because a process that decodes
needs no JAX; tensorflow_datasets and scikit-learn are imported where they are called.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jssl.augment.views import Canvas as Canvas
    from jssl.augment.views import CenterView as CenterView
    from jssl.augment.views import MultiView as MultiView
    from jssl.augment.views import View as View
    from jssl.data.loading.loader import Loader as Loader
    from jssl.data.loading.loader import fits_on_device as fits_on_device
    from jssl.data.loading.loader import resident as resident
    from jssl.data.loading.order import Order as Order
    from jssl.data.reading.decoding import decode as decode
    from jssl.data.sources import TFDS as TFDS
    from jssl.data.sources import Arrays as Arrays
    from jssl.data.sources import Folder as Folder
    from jssl.data.sources import ImageList as ImageList
    from jssl.data.sources import Sample as Sample
    from jssl.data.sources import Source as Source

_HOMES = {
    'TFDS': 'jssl.data.sources',
    'Arrays': 'jssl.data.sources',
    'Canvas': 'jssl.augment.views',
    'CenterView': 'jssl.augment.views',
    'Folder': 'jssl.data.sources',
    'ImageList': 'jssl.data.sources',
    'Loader': 'jssl.data.loading.loader',
    'MultiView': 'jssl.augment.views',
    'Order': 'jssl.data.loading.order',
    'Sample': 'jssl.data.sources',
    'Source': 'jssl.data.sources',
    'View': 'jssl.augment.views',
    'decode': 'jssl.data.reading.decoding',
    'fits_on_device': 'jssl.data.loading.loader',
    'resident': 'jssl.data.loading.loader',
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_HOMES[name]), name)
