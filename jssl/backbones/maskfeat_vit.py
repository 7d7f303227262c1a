"""The vision transformer of MaskFeat."""

from typing import ClassVar

import flax.linen as nn

from jssl.backbones.counterpart import MEAN_OF_NORMED, MEAN_OF_TOKENS, Counterpart
from jssl.backbones.vit import VisionTransformer
from jssl.checks import NonNegative
from jssl.layers.transformer import TransformerInit
from jssl.reference import Reference


class MaskFeatViT(VisionTransformer):
    """ViT with a token in place of what is masked (Wei et al. 2022, section 3.1).

    Attributes:
      arch, img_size, ...: as `VisionTransformer`; positions are learned unless told otherwise.
      init_std: standard deviation of the initial kernels. The usual one is for widths of hundreds;
        a narrow network needs about sqrt(1 / width) to learn well.
    """

    init_std: NonNegative = 0.02

    reference: ClassVar[Reference] = Reference(fields={'output_cls_token': None})
    counterpart: ClassVar[Counterpart | None] = Counterpart(
        VisionTransformer, tuned=MEAN_OF_TOKENS, probed=MEAN_OF_NORMED
    )

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        init = nn.initializers.normal(self.init_std)
        return TransformerInit(patch=init, qkv=init, kernel=init)
