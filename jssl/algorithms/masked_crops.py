"""Global crops with masked patches, and local crops without: those of iBOT and of what followed."""

from collections.abc import Sequence
from typing import Any

import jax

from jssl.algorithms.dino import GLOBAL, global_views
from jssl.errors import JsslError
from jssl.networks import by_size


def crops_of(views: Sequence[jax.Array], algorithm: str) -> tuple[jax.Array, ...]:
    """By size, the global crops alone even where local ones are as large: these see no mask."""
    return (*by_size(global_views(views, algorithm)), *by_size(views[GLOBAL:]))


def places(views: Sequence[jax.Array], backbone: Any, algorithm: str) -> tuple[int, int]:
    """How many global crops a batch has, and patches along a side of one.

    Raises:
      JsslError: if they are no squares, or the backbone has no class token beside patches; the
        message names `algorithm`.
    """
    if not getattr(backbone, 'with_cls_token', False):
        raise JsslError(
            f'{algorithm} is for vision transformers with a class token, and config.model.backbone '
            f'is {type(backbone).__name__} without; set config.model.backbone.type to DINOViT.'
        )
    first, _ = global_views(views, algorithm)
    images, height, width = first.shape[:3]
    if height != width:
        raise JsslError(
            f'{algorithm} masks square global crops and got {height} x {width} px; set '
            'config.views to a policy of square ones, such as GlobalLocal.'
        )
    return GLOBAL * images, height // backbone.patch_size
