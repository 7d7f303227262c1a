"""Data sources: what the loader reads samples from by number, encoded or as arrays.

The classes here are what a config may name under `data`, `test_data` and `probe_data`.
"""

from jssl.data.sources.arrays import Arrays
from jssl.data.sources.base import Sample, Source, has_labels
from jssl.data.sources.declared import check_declared
from jssl.data.sources.folder import Folder
from jssl.data.sources.huggingface import HuggingFace
from jssl.data.sources.image_list import ImageList
from jssl.data.sources.labels import check_classes, check_same_classes, label_count
from jssl.data.sources.parquet import Parquet
from jssl.data.sources.part import Part
from jssl.data.sources.tfds import TFDS
from jssl.data.sources.webdataset import WebDataset

__all__ = [
    'TFDS',
    'Arrays',
    'Folder',
    'HuggingFace',
    'ImageList',
    'Parquet',
    'Part',
    'Sample',
    'Source',
    'WebDataset',
    'check_classes',
    'check_declared',
    'check_same_classes',
    'has_labels',
    'label_count',
]
