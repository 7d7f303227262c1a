"""The decoder of MAE."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Natural, Positive
from jssl.errors import JsslError
from jssl.layers.attention import Implementation
from jssl.layers.gather import take_tokens
from jssl.layers.initializers import xavier_uniform
from jssl.layers.layer_norm import layer_norm
from jssl.layers.position_embedding import sincos_positions
from jssl.layers.rows import by_rows
from jssl.layers.transformer import TransformerBlock, scan_blocks


class MAEPretrainDecoder(Checked, nn.Module):
    """A light transformer over all patches, visible or not (He et al. 2022, section 3).

    Attributes:
      num_patches: of an image, a square number.
      patch_size: side of a patch in pixels.
      in_chans: channels of the image.
      embed_dim: width of the encoder's tokens, checked against what arrives.
      decoder_embed_dim: width of the decoder.
      decoder_depth: number of blocks.
      decoder_num_heads: heads of their attention.
      mlp_ratio: width of the feed-forward networks over that of the decoder.
      remat: compute each block again in the backward pass instead of keeping its activations.
      scan_layers: compile one block and loop over it, as in `VisionTransformer`.
      implementation: of the attention: 'xla', 'cudnn' or None, see `attend`.
      dtype: of the computation (parameters stay as they are); None follows the input.
    """

    num_patches: Count = 196
    patch_size: Count = 16
    in_chans: Count = 3
    embed_dim: Count = 1024
    decoder_embed_dim: Count = 512
    decoder_depth: Natural = 8
    decoder_num_heads: Count = 16
    mlp_ratio: Positive = 4
    remat: bool = False
    scan_layers: bool = False
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(self, latent: jax.Array, ids_restore: jax.Array) -> jax.Array:
        """What the patches look like.

        Args:
          latent: (B, 1 + n, embed_dim), the class token and the visible patches.
          ids_restore: int (B, num_patches), the place of each patch among the visible ones and,
            after these, the hidden ones.

        Returns:
          (B, num_patches, patch_size ** 2 * in_chans), patches row-major; within one row, column,
          channel.

        Raises:
          JsslError: if `embed_dim` or `num_patches` is not that of the encoder.
        """
        self._check(latent, ids_restore)
        x = by_rows(self._linear(self.decoder_embed_dim, 'decoder_embed'), latent)
        x = self._with_hidden(x, ids_restore) + self._positions().astype(x.dtype)
        x = layer_norm('ln1', self.dtype)(self._blocks(x))
        pixels = self._linear(self.patch_size**2 * self.in_chans, 'decoder_pred')
        return by_rows(pixels, x[:, 1:])

    @nn.nowrap
    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name` is not trained: the fixed positions."""
        return name == 'decoder_pos_embed'

    def _with_hidden(self, x: jax.Array, ids_restore: jax.Array) -> jax.Array:
        """Class token and all patches in order, mask tokens where the encoder saw none."""
        batch, tokens, width = x.shape
        init = nn.initializers.normal(0.02)
        mask_token = self.param('mask_token', init, (1, 1, width)).astype(x.dtype)
        hidden = jnp.broadcast_to(mask_token, (batch, self.num_patches + 1 - tokens, width))
        patches = jnp.concatenate([x[:, 1:], hidden], axis=1)
        patches = take_tokens(patches, ids_restore)
        return jnp.concatenate([x[:, :1], patches], axis=1)

    def _positions(self) -> jax.Array:
        """The fixed table (1, 1 + num_patches, C), stored as in the reference."""
        grid, width = round(self.num_patches**0.5), self.decoder_embed_dim
        table = self.param(
            'decoder_pos_embed', lambda key: jnp.asarray(sincos_positions(grid, width))
        )
        return jax.lax.stop_gradient(table)

    def _blocks(self, x: jax.Array) -> jax.Array:
        if self.scan_layers:
            return scan_blocks(self._block('decoder_blocks'), x, self.decoder_depth)
        for index in range(self.decoder_depth):
            x = self._block(f'decoder_blocks.{index}')(x)
        return x

    def _block(self, name: str) -> nn.Module:
        block = nn.remat(TransformerBlock) if self.remat else TransformerBlock
        return block(
            self.decoder_num_heads,
            int(self.mlp_ratio * self.decoder_embed_dim),
            implementation=self.implementation,
            dtype=self.dtype,
            name=name,
        )

    def _linear(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, kernel_init=xavier_uniform, dtype=self.dtype, name=name)

    def _check(self, latent: jax.Array, ids_restore: jax.Array) -> None:
        if latent.shape[-1] != self.embed_dim:
            raise JsslError(
                f'config.model.neck.embed_dim={self.embed_dim}, but tokens of {latent.shape[-1]} '
                f'channels arrive; set config.model.neck.embed_dim={latent.shape[-1]}.'
            )
        if ids_restore.shape[-1] != self.num_patches:
            raise JsslError(
                f'config.model.neck.num_patches={self.num_patches}, but an image has '
                f'{ids_restore.shape[-1]} patches; set '
                f'config.model.neck.num_patches={ids_restore.shape[-1]}.'
            )
