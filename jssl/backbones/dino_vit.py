"""The vision transformer of DINO, iBOT and DINOv2."""

from typing import ClassVar

import flax.linen as nn

from jssl.backbones.counterpart import Counterpart
from jssl.backbones.vit import VisionTransformer
from jssl.checks import NonNegative
from jssl.layers.initializers import torch_linear, torch_linear_bias
from jssl.layers.position_embedding import Interpolation
from jssl.layers.transformer import TransformerInit

OFFSET = {'interpolation': 'offset'}


class DINOViT(VisionTransformer):
    """ViT that sees small crops through its position table, enlarged as the reference does it.

    Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, section
    3.2. Tokens and positions start normal with std 0.02, biases and the mask token at 0, and the
    patch projection as PyTorch's convolution.

    Attributes:
      arch, img_size, ...: as `VisionTransformer`; ViT-S is 'deit-small'.
      interpolation: 'offset' unless told otherwise.
      init_std: standard deviation of the initial kernels of the blocks. The usual one is for widths
        of hundreds; a narrow network needs about sqrt(1 / width) to learn well.
    """

    interpolation: Interpolation = 'offset'
    init_std: NonNegative = 0.02

    counterpart: ClassVar[Counterpart | None] = Counterpart(VisionTransformer, OFFSET, OFFSET)

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        normal = nn.initializers.normal(self.init_std)
        return TransformerInit(
            mask_token=nn.initializers.zeros,
            patch=torch_linear,
            patch_bias=torch_linear_bias,
            qkv=normal,
            kernel=normal,
        )
