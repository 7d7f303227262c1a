"""The vision transformer of MoCo v3."""

import functools
from typing import ClassVar

import flax.linen as nn
import jax

from jssl.backbones.counterpart import Counterpart
from jssl.backbones.vit import VisionTransformer
from jssl.layers.initializers import xavier_uniform
from jssl.layers.transformer import TransformerInit
from jssl.reference import Reference


class MoCoV3ViT(VisionTransformer):
    """ViT with fixed sine-cosine positions and a patch projection that may stay as it was drawn.

    Chen, Xie, He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021,
    sections 4.1 and 5.

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      fixed_positions: on unless told otherwise.
      stop_grad_conv1: whether the patch projection is not trained.
    """

    fixed_positions: bool = True
    stop_grad_conv1: bool = False

    reference: ClassVar[Reference] = Reference(
        fields={'norm_eval': None},  # it has no batch norms
        fixed={'output_cls_token': True},
    )
    counterpart: ClassVar[Counterpart | None] = Counterpart(VisionTransformer)

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        joint = functools.partial(xavier_uniform, matrices=3)
        return TransformerInit(qkv=joint, token=nn.initializers.normal(1e-6))

    def _patch_tokens(self, images: jax.Array) -> jax.Array:
        tokens = super()._patch_tokens(images)
        return jax.lax.stop_gradient(tokens) if self.stop_grad_conv1 else tokens

    @nn.nowrap
    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name` is not trained."""
        projection = self.stop_grad_conv1 and name.startswith('patch_embed.projection')
        return projection or super().is_frozen(name)
