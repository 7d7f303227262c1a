"""Data: where samples come from, their canvases, and the batches that a step sees.

All of it runs on the host and needs no JAX: a process that decodes starts in a moment.
tensorflow_datasets and scikit-learn are imported where they are called.
"""

from jssl.data.canvas import Canvas as Canvas
from jssl.data.loading.loader import Loader as Loader
from jssl.data.loading.loader import fits_on_device as fits_on_device
from jssl.data.loading.loader import resident as resident
from jssl.data.loading.order import Order as Order
from jssl.data.reading.decoding import decode as decode
from jssl.data.sources import TFDS as TFDS
from jssl.data.sources import Arrays as Arrays
from jssl.data.sources import Folder as Folder
from jssl.data.sources import HuggingFace as HuggingFace
from jssl.data.sources import ImageList as ImageList
from jssl.data.sources import Parquet as Parquet
from jssl.data.sources import Sample as Sample
from jssl.data.sources import Source as Source
from jssl.data.sources import WebDataset as WebDataset
