"""The image encoder of CLIP, whose features masked models such as MILAN and EVA predict."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import Checked, Count
from jssl.layers.layer_norm import layer_norm
from jssl.layers.position_embedding import resize_positions
from jssl.target_generators.frozen import FrozenGenerator

PREFIX = 'visual.'
EPSILON = 1e-5


class CLIPTargets(NamedTuple):
    """What `CLIPGenerator` gives.

    Attributes:
      tokens: float32 (B, 1 + L, D), the class token first, then the patches row-major.
      attention: float32 (B, 1 + L, 1 + L), of the last block, the mean over its heads; a row sums
        to 1.
    """

    tokens: jax.Array
    attention: jax.Array


class CLIPBlock(Checked, nn.Module):
    """A pre-norm block with x sigmoid(1.702 x) in place of GELU, under CLIP's own names.

    Attributes:
      num_heads: heads of the attention.
    """

    num_heads: Count

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(B, N, C) -> (B, N, C), and the attention (B, heads, N, N)."""
        branch, attention = self._attend(layer_norm('ln_1', epsilon=EPSILON)(x))
        x += branch
        hidden = nn.Dense(4 * x.shape[-1], name='mlp.c_fc')(layer_norm('ln_2', epsilon=EPSILON)(x))
        hidden *= nn.sigmoid(1.702 * hidden)
        return x + nn.Dense(x.shape[-1], name='mlp.c_proj')(hidden), attention

    def _attend(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        shape = (*x.shape[:2], self.num_heads, x.shape[-1] // self.num_heads)
        joint = nn.Dense(3 * x.shape[-1], name='attn.in_proj')(x)
        query, key, value = (part.reshape(shape) for part in jnp.split(joint, 3, axis=-1))
        logits = jnp.einsum('bnhd,bmhd->bhnm', query, key) * shape[-1] ** -0.5
        attention = nn.softmax(logits)
        mixed = jnp.einsum('bhnm,bmhd->bnhd', attention, value).reshape(x.shape)
        return nn.Dense(x.shape[-1], name='attn.out_proj')(mixed), attention


class CLIPGenerator(FrozenGenerator):
    """Normalised images -> the features of CLIP's ViT-B/16, and where its last block looks.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML
    2021, arXiv 2103.00020. Both outputs are those that MILAN takes (Hou et al. 2022).

    Attributes:
      weights: see `FrozenGenerator`; other parts of CLIP in the file are not read.
      embed_dims: width of the tokens.
      num_layers: number of blocks.
      num_heads: heads of their attention.
      out_channels: width of the features.
      img_size: side in pixels of the images that the position table is made for.
      patch_size: side of a patch in pixels.
    """

    embed_dims: Count = 768
    num_layers: Count = 12
    num_heads: Count = 12
    out_channels: Count = 512
    img_size: Count = 224
    patch_size: Count = 16

    published: ClassVar[str] = (
        'https://download.openmmlab.com/mmselfsup/1.x/target_generator_ckpt/clip_vit_base_16.pth.tar'
    )

    @nn.compact
    def __call__(self, images: jax.Array) -> CLIPTargets:
        """(B, H, W, 3) -> features and attention of all tokens."""
        images = images.astype(jnp.promote_types(images.dtype, jnp.float32))
        x = layer_norm('ln_pre', epsilon=EPSILON)(self._embed(images))
        for index in range(self.num_layers):
            name = f'transformer.resblocks.{index}'
            x, attention = CLIPBlock(self.num_heads, name=name)(x)
        x = layer_norm('ln_post', epsilon=EPSILON)(x)
        features = nn.Dense(self.out_channels, use_bias=False, name='proj')(x)
        return CLIPTargets(features, attention.mean(axis=1))

    def _embed(self, images: jax.Array) -> jax.Array:
        p, width = self.patch_size, self.embed_dims
        patches = nn.Conv(width, (p, p), (p, p), 'VALID', use_bias=False, name='conv1')(images)
        batch, rows, columns, _ = patches.shape
        init = nn.initializers.normal(width**-0.5)
        cls_token = self.param('class_embedding', init, (width,), jnp.float32)
        tokens = (self.img_size // p) ** 2
        positions = self.param('positional_embedding', init, (1, 1 + tokens, width), jnp.float32)
        cls_token = jnp.broadcast_to(cls_token, (batch, 1, width))
        x = jnp.concatenate([cls_token, patches.reshape(batch, rows * columns, width)], axis=1)
        return x + resize_positions(positions, (rows, columns))

    @nn.nowrap
    def rename(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The entries of the image encoder."""
        own = {k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)}
        # Not every matrix of CLIP's is laid out as that of a linear layer.
        if 'proj' in own:
            own['proj.weight'] = own.pop('proj').T
        if 'positional_embedding' in own:
            own['positional_embedding'] = own['positional_embedding'][None]
        return {key.replace('in_proj_', 'in_proj.'): value for key, value in own.items()}
