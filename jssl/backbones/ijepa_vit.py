"""The vision transformer of I-JEPA."""

from typing import ClassVar

import flax.linen as nn

from jssl.backbones.counterpart import Counterpart
from jssl.backbones.vit import VisionTransformer
from jssl.checks import NonNegative
from jssl.layers.transformer import TransformerInit

PATCHES_ALONE = {'with_cls_token': False}


class IJEPAViT(VisionTransformer):
    """ViT without a class token: its features are a map (Assran et al. 2023, appendix A.1).

    All linear layers and the patch projection start normal, biases at 0. The reference divides the
    last layer of each branch by the root of twice its depth and then draws it anew, so that no
    layer begins smaller than others.

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      fixed_positions: sine-cosine positions unless told otherwise, columns first.
      with_cls_token: False unless told otherwise.
      init_std: standard deviation of the initial kernels. The usual one is for patches of hundreds
        of values; those of fewer would be drowned by the positions.
    """

    fixed_positions: bool = True
    with_cls_token: bool = False
    init_std: NonNegative = 0.02

    columns_first: ClassVar[bool] = True
    counterpart: ClassVar[Counterpart | None] = Counterpart(
        VisionTransformer, tuned=PATCHES_ALONE, probed=PATCHES_ALONE
    )

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        normal = nn.initializers.normal(self.init_std)
        return TransformerInit(patch=normal, qkv=normal, kernel=normal)
