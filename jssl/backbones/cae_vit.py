"""The vision transformer of CAE."""

import flax.linen as nn

from jssl.backbones.vit import VisionTransformer
from jssl.checks import NonNegative
from jssl.layers.transformer import TransformerInit


class CAEViT(VisionTransformer):
    """ViT with scaled branches (Chen et al. 2022, CAE).

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      fixed_positions: sine-cosine positions unless told otherwise.
      qkv_bias: one bias of query and one of value, as separate parameters, unless told otherwise.
      layer_scale: initial value of the blocks' scales; `init_values` in the reference.
      init_std: standard deviation of the patch projection's initial kernel. The usual one is for
        patches of hundreds of values; those of fewer would be drowned by the positions.
    """

    fixed_positions: bool = True
    qkv_bias: bool = False
    layer_scale: NonNegative | None = 0.1
    init_std: NonNegative = 0.02

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        return TransformerInit(patch=nn.initializers.normal(self.init_std))
