"""The vision transformer of CAE."""

from typing import ClassVar

import flax.linen as nn
import jax

from jssl.backbones.vit import PartialViT
from jssl.checks import NonNegative
from jssl.layers.transformer import PatchEmbedding, TransformerInit


class CAEViT(PartialViT):
    """ViT that computes the patches it is given, with scaled branches (Chen et al. 2022, CAE).

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

    init_values: ClassVar[TransformerInit] = TransformerInit()

    def _patch_tokens(self, images: jax.Array) -> jax.Array:
        return PatchEmbedding(
            self.size.embed_dims,
            self.patch_size,
            kernel_init=nn.initializers.normal(self.init_std),
            dtype=self.dtype,
            name='patch_embed',
        )(images)
