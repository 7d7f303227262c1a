"""The named sizes of transformer backbones, and sizes given as a dict."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jssl.checks import distinct
from jssl.errors import JsslError, show, suggest

Size = TypeVar('Size')


def find_arch(archs: Mapping[str, Size], name: str) -> Size:
    """The size called `name`.

    Raises:
      JsslError: if there is none.
    """
    if name not in archs:
        usual = next(iter(archs.values()))
        fields = inspect.signature(type(usual)).parameters
        sizes = ', '.join(f'{field}={getattr(usual, field)!r}' for field in fields)
        raise JsslError(
            f'config.model.backbone.arch={name!r} is not known. {suggest(name, archs)} Or give its '
            f"sizes: --config.model.backbone.arch='dict({sizes})'"
        )
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


def check_stages(arch: Any, size: Any, per_stage: str, out_indices: Sequence[int]) -> None:
    """Refuses a size with unequal numbers of stages, and features of stages that it lacks.

    Args:
      arch: what the user gave for the size.
      size: what it stands for; `depths` has an entry for each stage.
      per_stage: the attribute of `size` that must have as many, such as 'num_heads'.
      out_indices: the stages, from 0, whose features the backbone gives.

    Raises:
      JsslError: names the field.
    """
    stages = len(size.depths)
    if len(getattr(size, per_stage)) != stages:
        raise JsslError(
            f'config.model.backbone.arch={arch!r} must have as many {per_stage} as depths.'
        )
    if not distinct(out_indices, range(stages)):
        raise JsslError(
            f'config.model.backbone.out_indices={show(out_indices)} must be some of the '
            f'stages 0 to {stages - 1}, such as --config.model.backbone.out_indices='
            f"'({stages - 1},)', the last."
        )
