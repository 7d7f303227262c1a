"""The named sizes of transformer backbones, and sizes given as a dict."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from jssl.errors import JsslError, suggest

Size = TypeVar('Size')


def find_arch(archs: Mapping[str, Size], name: str) -> Size:
    """The size called `name`.

    Raises:
      JsslError: if there is none.
    """
    if name not in archs:
        raise JsslError(f'config.model.backbone.arch={name!r} is not known. {suggest(name, archs)}')
    return archs[name]


def make_arch(kind: type[Size], sizes: Mapping[str, Any]) -> Size:
    """The size that a dict describes.

    Raises:
      JsslError: if it lacks an entry or has one that `kind` does not know.
    """
    names = inspect.signature(kind).parameters
    if not isinstance(sizes, Mapping) or set(sizes) != set(names):
        shown = dict(sizes) if isinstance(sizes, Mapping) else sizes
        raise JsslError(
            f'config.model.backbone.arch={shown!r} must have the entries {", ".join(names)}, or be '
            'the name of a size.'
        )
    return kind(**sizes)
