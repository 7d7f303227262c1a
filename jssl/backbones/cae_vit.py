"""The vision transformer of CAE."""

from typing import Any, ClassVar

import flax.linen as nn

from jssl.backbones.counterpart import MEAN_OF_NORMED, MEAN_OF_TOKENS, Counterpart
from jssl.backbones.vit import VisionTransformer
from jssl.checks import NonNegative
from jssl.layers.transformer import TransformerInit
from jssl.reference import Reference


def _of_others(fields: dict[str, Any]) -> dict[str, Any]:
    """But for MMSelfSup 1.x a dict that is silent means biases of query and value (as in 0.9)."""
    return {'qkv_bias': False} | fields


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

    reference: ClassVar[Reference] = Reference(
        types=('CAEPretrainViT',),
        fields={
            'init_values': 'layer_scale',
            'layer_scale_init_value': 'layer_scale',
            'output_cls_token': None,
        },
        fixed={'bias': 'qv_bias'},  # as MMPretrain calls what it has
        defaults={'qkv_bias': True, 'layer_scale': None},
        releases={'0.x': _of_others, 'mmpretrain': _of_others},
    )
    counterpart: ClassVar[Counterpart | None] = Counterpart(
        VisionTransformer,
        tuned=MEAN_OF_TOKENS | {'use_rel_pos_bias': True},
        probed=MEAN_OF_NORMED,
    )

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        return TransformerInit(patch=nn.initializers.normal(self.init_std))
