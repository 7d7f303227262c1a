"""The vision tower of SigLIP."""

from typing import Any

import jax

from jssl.backbones.vit import VisionTransformer
from jssl.errors import JsslError
from jssl.layers.attention_pooling import AttentionPooling
from jssl.layers.transformer import Activation


class SigLIPViT(VisionTransformer):
    """ViT with attention pooling in place of a class token (Zhai et al. 2023, SigLIP).

    Images (B, H, W, C) -> ((map (B, h, w, C), pooled vector (B, C)),); the map is that of the
    tokens after the final norm, the vector stands where others have their class token.

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      with_cls_token: False, and it has to be.
      activation: the approximate GELU unless told otherwise.

    Raises:
      JsslError: as `VisionTransformer`, and for a class token or averaged tokens.
    """

    with_cls_token: bool = False
    activation: Activation = 'gelu_tanh'

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        for field in ('with_cls_token', 'avg_token'):
            if getattr(self, field):
                raise JsslError(
                    f'SigLIPViT pools its tokens by attention, and config.model.backbone.{field}='
                    'True gives another vector in place of that; set it to False.'
                )

    def _outputs(self, x: jax.Array, rows: int, columns: int) -> tuple[Any, ...]:
        (patches,) = super()._outputs(x, rows, columns)
        size = self.size
        pooled = AttentionPooling(
            size.num_heads,
            size.feedforward_channels,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            implementation=self.implementation,
            dtype=self.dtype,
            name='attn_pool',
        )(x)
        return ((patches, self._freeze(pooled, size.num_layers)),)
