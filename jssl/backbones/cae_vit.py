"""The vision transformer of CAE."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jssl.backbones.vit import VisionTransformer
from jssl.layers.transformer import PatchEmbedding, TransformerInit


class CAEViT(VisionTransformer):
    """ViT that computes the patches it is given, with scaled branches (Chen et al. 2022, CAE).

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      fixed_positions: sine-cosine positions unless told otherwise.
      qkv_bias: one bias of query and one of value, as separate parameters, unless told otherwise.
      layer_scale: initial value of the blocks' scales; `init_values` in the reference.
    """

    fixed_positions: bool = True
    qkv_bias: bool = False
    layer_scale: float | None = 0.1

    init_values: ClassVar[TransformerInit] = TransformerInit()

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = True, ids_keep: jax.Array | None = None
    ) -> Any:
        """Features of whole images, or tokens of the patches that `ids_keep` chooses.

        Args:
          images: (B, H, W, C).
          train: matters to drop path alone.
          ids_keep: int (B, n), patches by their row-major number; None for all.

        Returns:
          As `VisionTransformer`; with `ids_keep` (B, 1 + n, C), class token first, patches in the
          order of `ids_keep`.
        """
        if ids_keep is None:
            return super().__call__(images, train)
        return self._transform_some(images, ids_keep, train)

    def _patch_tokens(self, images: jax.Array) -> jax.Array:
        return PatchEmbedding(
            self.size.embed_dims,
            self.patch_size,
            kernel_init=nn.initializers.normal(0.02),
            dtype=self.dtype,
            name='patch_embed',
        )(images)
