"""What layouts of networks of stages share: Swin transformers, ConvNeXts, residual networks."""

import re
from collections.abc import Mapping

import numpy as np

from jssl.interop.layouts.layout import Arrays, count

LAST_NORM = re.compile(r'norm\d\.weight', re.ASCII)


def last_norm(arrays: Arrays) -> str:
    """What jssl calls the norm after the last stage.

    Raises:
      JsslError: there are no stages, or one is missing.
    """
    return f'norm{count(arrays, "stages.") - 1}'


def renamed(arrays: Arrays, names: Mapping[str, str]) -> Arrays:
    """The arrays with other names of some modules; the last part of each stays."""

    def named(key: str) -> str:
        stem, dot, leaf = key.rpartition('.')
        return names.get(stem, stem) + dot + leaf

    return {named(key): value for key, value in arrays.items()}


def last_width(arrays: Mapping[str, np.ndarray]) -> int | None:
    """How wide the last map is, by which a config beside the file says whose it is."""
    norms = [value for key, value in arrays.items() if LAST_NORM.fullmatch(key)]
    return max((value.size for value in norms), default=None)
