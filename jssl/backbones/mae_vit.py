"""The vision transformer of MAE."""

from typing import ClassVar

import flax.linen as nn

from jssl.backbones.counterpart import MEAN_OF_TOKENS, Counterpart
from jssl.backbones.vit import VisionTransformer
from jssl.checks import BelowOne
from jssl.errors import JsslError
from jssl.layers.initializers import torch_linear_bias
from jssl.layers.transformer import TransformerInit
from jssl.reference import Reference


class MAEViT(VisionTransformer):
    """ViT of which pre-training computes the visible patches alone (He et al. 2022, section 3).

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      fixed_positions: sine-cosine positions unless told otherwise.
      mask_ratio: share of the patches that pre-training removes.

    Raises:
      JsslError: for a share that is not between 0 and 1, or leaves no patch.
    """

    fixed_positions: bool = True
    mask_ratio: BelowOne = 0.75

    reference: ClassVar[Reference] = Reference(fields={'output_cls_token': None})
    counterpart: ClassVar[Counterpart | None] = Counterpart(VisionTransformer, tuned=MEAN_OF_TOKENS)

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        patches = (self.img_size // self.patch_size) ** 2
        if not 0 <= self.mask_ratio < 1 or self.count_visible(patches) < 1:
            raise JsslError(
                f'config.model.backbone.mask_ratio={self.mask_ratio} must be at least 0 and leave '
                f'one of the {patches} patches visible; MAE removes 0.75.'
            )

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        small = nn.initializers.normal(1e-6)
        return TransformerInit(patch_bias=torch_linear_bias, ffn_bias=small)

    @nn.nowrap
    def count_visible(self, patches: int) -> int:
        """How many of the patches of an image the encoder computes in pre-training."""
        return int(patches * (1 - self.mask_ratio))
