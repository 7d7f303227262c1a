"""The vision transformer of DINOv3."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jssl.backbones.dino_vit import DINOViT
from jssl.checks import Natural, NonNegative, Positive


class DINOv3ViT(DINOViT):
    """ViT without a table of positions: queries and keys turn by their place.

    Simeoni et al., "DINOv3", arXiv 2508.10104, section 3.2; the registers are their storage tokens.
    Initial values are those of `DINOViT`.

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
    """

    rotary: Mapping[str, Any] | None = dataclasses.field(default_factory=dict)
    num_registers: Natural = 4
    mask_k_bias: bool = True
    layer_scale: NonNegative | None = 1e-5
    norm_epsilon: Positive = 1e-5
    local_cls_norm: bool = True
    drop_subsets: bool = True
