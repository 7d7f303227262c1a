"""The vision transformers of MAE, which sees a part of the patches, and of MaskFeat."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.backbones.vit import PartialViT, VisionTransformer
from jssl.checks import BelowOne, NonNegative
from jssl.errors import JsslError
from jssl.layers.initializers import torch_linear_bias, xavier_uniform
from jssl.layers.transformer import PatchEmbedding, TransformerInit


class MAEViT(PartialViT):
    """ViT that computes the visible patches only (He et al. 2022, section 3).

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      fixed_positions: sine-cosine positions unless told otherwise.
      mask_ratio: share of the patches that pre-training removes.

    Raises:
      JsslError: for a share that is not between 0 and 1, or leaves no patch.
    """

    fixed_positions: bool = True
    mask_ratio: BelowOne = 0.75

    init_values: ClassVar[TransformerInit] = TransformerInit(ffn_bias=nn.initializers.normal(1e-6))

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        patches = (self.img_size // self.patch_size) ** 2
        if not 0 <= self.mask_ratio < 1 or self.count_visible(patches) < 1:
            raise JsslError(
                f'config.model.backbone.mask_ratio={self.mask_ratio} must be at least 0 and leave '
                f'one of the {patches} patches visible; MAE removes 0.75.'
            )

    @nn.nowrap
    def count_visible(self, patches: int) -> int:
        """How many of the patches of an image the encoder computes in pre-training."""
        return int(patches * (1 - self.mask_ratio))

    def _patch_tokens(self, images: jax.Array) -> jax.Array:
        fan_in = self.patch_size**2 * images.shape[-1]
        return PatchEmbedding(
            self.size.embed_dims,
            self.patch_size,
            kernel_init=xavier_uniform,
            bias_init=torch_linear_bias(fan_in),
            dtype=self.dtype,
            name='patch_embed',
        )(images)


class MaskFeatViT(VisionTransformer):
    """ViT with a token in place of what is masked (Wei et al. 2022, section 3.1).

    Attributes:
      arch, img_size, ...: as `VisionTransformer`; positions are learned unless told otherwise.
      init_std: standard deviation of the initial kernels. The usual one is for widths of hundreds;
        a narrow network needs about sqrt(1 / width) to learn well.
    """

    init_std: NonNegative = 0.02

    @property
    def init_values(self) -> TransformerInit:  # type: ignore[override]
        """How the blocks begin."""
        init = nn.initializers.normal(self.init_std)
        return TransformerInit(qkv=init, kernel=init)

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = True, mask: jax.Array | None = None
    ) -> tuple[Any, ...]:
        """Features of `images`.

        Args:
          images: (B, H, W, C).
          train: matters to drop path alone.
          mask: (B, h, w) in patches, not 0 for masked; None for none.

        Returns:
          As `VisionTransformer`.
        """
        cls_token, patches = self._embed(self._masked_tokens(images, mask))
        rows, columns = patches.shape[1:3]
        x = jnp.concatenate([cls_token, patches.reshape(len(images), rows * columns, -1)], axis=1)
        return self._outputs(self._transform(x, train), rows, columns)

    def _masked_tokens(self, images: jax.Array, mask: jax.Array | None) -> jax.Array:
        tokens = PatchEmbedding(
            self.size.embed_dims,
            self.patch_size,
            kernel_init=self.init_values.kernel,
            dtype=self.dtype,
            name='patch_embed',
        )(images)
        if mask is None:
            return tokens
        token = self.param('mask_token', self.init_values.token, (1, 1, tokens.shape[-1]))
        return jnp.where(mask[..., None] != 0, token[0].astype(tokens.dtype), tokens)
