"""The tokenizer of BEiT v2: a vision transformer and a codebook distilled from CLIP."""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.backbones.vit import VisionTransformer
from jssl.checks import Checked, Count
from jssl.layers.normalize import l2_normalize
from jssl.target_generators.frozen import FrozenGenerator

PARTS = ('encoder.', 'encode_task_layer.', 'quantize.embedding.')


class Codebook(Checked, nn.Module):
    """Nearest unit vector by the angle.

    Attributes:
      codes: how many there are.
    """

    codes: Count

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., D) -> int32 (...)."""
        init = nn.initializers.normal(1.0)
        kernel = self.param('kernel', init, (x.shape[-1], self.codes), jnp.float32)
        return jnp.argmax(x @ l2_normalize(kernel.T).T, axis=-1).astype(jnp.int32)


class VQKD(FrozenGenerator):
    """Images in [-1, 1] -> tokens, one for each patch.

    Peng, Dong, Bao, Ye, Wei, "BEiT v2: Masked Image Modeling with Vector-Quantized Visual
    Tokenizers", arXiv 2208.06366, section 2.2. For inference: the codebook does not move.

    Attributes:
      weights: see `FrozenGenerator`; the decoder in the file is not read.
      arch, img_size, patch_size: of the encoder, as of `VisionTransformer`.
      num_embed: codes of the codebook.
      embed_dims: their width.
    """

    arch: str | Mapping[str, Count] = 'base'
    img_size: Count = 224
    patch_size: Count = 16
    num_embed: Count = 8192
    embed_dims: Count = 32

    published: ClassVar[str] = (
        'https://download.openmmlab.com/mmselfsup/1.x/target_generator_ckpt/vqkd_encoder.pth'
    )

    @property
    def num_classes(self) -> int:
        """How many tokens it tells apart."""
        return self.num_embed

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """(B, H, W, 3) -> int32 (B, h, w)."""
        size: Any = {'img_size': self.img_size, 'patch_size': self.patch_size}
        encoder = VisionTransformer(self.arch, qkv_bias=False, **size, name='encoder')
        images = images.astype(jnp.promote_types(images.dtype, jnp.float32))
        tokens, _ = encoder(images, train=False)[-1]
        hidden = jnp.tanh(nn.Dense(tokens.shape[-1], name='encode_task_layer.0')(tokens))
        x = nn.Dense(self.embed_dims, name='encode_task_layer.2')(hidden)
        return Codebook(self.num_embed, name='quantize.embedding')(l2_normalize(x))

    @nn.nowrap
    def rename(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The entries of the encoder and the codebook."""
        return {key: value for key, value in weights.items() if key.startswith(PARTS)}
