"""Data: where samples come from, their canvases, and the batches that a step sees.

Importing it is cheap: tensorflow_datasets, grain and scikit-learn are imported on first use.
"""

from jssl.data.canvas import decode
from jssl.data.loader import Loader, Order, fits_on_device, resident
from jssl.data.sources import TFDS, Arrays, Sample, Source
from jssl.data.views import Canvas, CenterView, MultiView, View

__all__ = [
    'TFDS',
    'Arrays',
    'Canvas',
    'CenterView',
    'Loader',
    'MultiView',
    'Order',
    'Sample',
    'Source',
    'View',
    'decode',
    'fits_on_device',
    'resident',
]
