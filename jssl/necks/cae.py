"""The regressor and the decoder of CAE."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Natural, NonNegative, Positive
from jssl.errors import JsslError
from jssl.layers.attention import Implementation
from jssl.layers.cross_attention import CrossAttention
from jssl.layers.initializers import xavier_uniform
from jssl.layers.layer_norm import layer_norm
from jssl.layers.position_embedding import sincos_positions
from jssl.layers.rows import by_rows
from jssl.layers.transformer import FeedForward, TransformerBlock
from jssl.reference import Reference


class RegressorBlock(Checked, nn.Module):
    """Queries look up visible tokens and each other (Chen et al. 2022, section 3.2).

    Attributes:
      num_heads: heads of the attention.
      feedforward_channels: hidden width of the feed-forward network.
      layer_scale: initial value of the branches' scales.
      implementation: of the attention, see `attend`.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    feedforward_channels: Count
    layer_scale: NonNegative = 0.1
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, context: jax.Array, positions: jax.Array, places: jax.Array
    ) -> jax.Array:
        """One layer.

        Args:
          x: queries (B, n, C).
          context: keys and values (B, m, C).
          positions: of the queries (B, n, C).
          places: positions of the context (B, m, C).

        Returns:
          (B, n, C).
        """
        attention = CrossAttention(
            self.num_heads, self.implementation, dtype=self.dtype, name='cross_attn'
        )
        feed_forward = FeedForward(
            self.feedforward_channels, kernel_init=xavier_uniform, dtype=self.dtype, name='ffn'
        )
        branch = attention(
            layer_norm('norm1_q_cross', self.dtype)(x + positions),
            layer_norm('norm1_k_cross', self.dtype)(context + places),
            layer_norm('norm1_v_cross', self.dtype)(context),
        )
        x += self._scaled(branch, 'gamma_1_cross')
        # As in the reference the second norm is no branch: what is added to is normalised too.
        x = layer_norm('norm2_cross', self.dtype)(x)
        return x + self._scaled(feed_forward(x), 'gamma_2_cross')

    def _scaled(self, branch: jax.Array, name: str) -> jax.Array:
        fill = nn.initializers.constant(self.layer_scale)
        return branch * self.param(name, fill, branch.shape[-1:]).astype(branch.dtype)


class CAENeck(Checked, nn.Module):
    """From visible patches to the latents of masked ones, and from these to their tokens.

    Chen et al. 2022, "Context Autoencoder for Self-Supervised Representation Learning", section
    3.2. Positions are the sine-cosine ones of `CAEViT`.

    Attributes:
      num_classes: tokens that the tokenizer tells apart.
      embed_dims: width of the encoder's tokens, checked against what arrives.
      regressor_depth: layers of the regressor.
      decoder_depth: blocks of the decoder.
      num_heads: heads of their attention.
      mlp_ratio: width of the feed-forward networks over `embed_dims`.
      layer_scale: initial value of the branches' scales; `init_values` in the reference.
      mask_tokens_num: how many patches of an image are masked.
      remat: compute each layer again in the backward pass instead of keeping its activations.
      implementation: of the attention: 'xla', 'cudnn' or None, see `attend`.
      dtype: of the computation (parameters stay as they are); None follows the input.

    Raises:
      JsslError: if nothing is masked, or the tokens have another width.
    """

    num_classes: Count = 8192
    embed_dims: Count = 768
    regressor_depth: Natural = 4
    decoder_depth: Natural = 4
    num_heads: Count = 12
    mlp_ratio: Positive = 4
    layer_scale: NonNegative = 0.1
    mask_tokens_num: Count = 75
    remat: bool = False
    implementation: Implementation = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(
        fields={
            'init_values': 'layer_scale',
            'layer_scale_init_value': 'layer_scale',
            'patch_size': None,
        },
        defaults={'regressor_depth': 6, 'decoder_depth': 8},
    )

    @nn.compact
    def __call__(
        self, latent: jax.Array, ids_visible: jax.Array, ids_masked: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Logits and latents of the masked patches.

        Args:
          latent: (B, 1 + v, embed_dims), class token and visible patches of the encoder.
          ids_visible: int (B, v), their row-major numbers.
          ids_masked: int (B, n), those of the masked patches.

        Returns:
          (B, n, num_classes) and (B, n, embed_dims), in the order of `ids_masked`.
        """
        if latent.shape[-1] != self.embed_dims:
            raise JsslError(
                f'config.model.neck.embed_dims={self.embed_dims}, but tokens of {latent.shape[-1]} '
                f'channels arrive; set config.model.neck.embed_dims={latent.shape[-1]}.'
            )
        visible, masked = self._positions(ids_visible, ids_masked, latent.dtype)
        prediction = self._regress(latent[:, 1:], visible, masked)
        return self._decode(prediction + masked), prediction

    def _positions(
        self, ids_visible: jax.Array, ids_masked: jax.Array, dtype: jnp.dtype
    ) -> tuple[jax.Array, jax.Array]:
        side = round((ids_visible.shape[1] + ids_masked.shape[1]) ** 0.5)
        table = jnp.asarray(sincos_positions(side, self.embed_dims, cls_token=False)[0], dtype)
        return table[ids_visible], table[ids_masked]

    def _regress(self, context: jax.Array, visible: jax.Array, masked: jax.Array) -> jax.Array:
        """The latents of the masked patches, from the visible ones and all positions."""
        token = self.param('mask_token', nn.initializers.normal(0.02), (1, 1, self.embed_dims))
        x = jnp.broadcast_to(token.astype(context.dtype), masked.shape)
        places = jnp.concatenate([visible, masked], axis=1)
        layer = nn.remat(RegressorBlock) if self.remat else RegressorBlock
        for index in range(self.regressor_depth):
            block = layer(
                *self._widths,
                layer_scale=self.layer_scale,
                implementation=self.implementation,
                dtype=self.dtype,
                name=f'regressors.{index}',
            )
            x = block(x, jnp.concatenate([context, x], axis=1), masked, places)
        return layer_norm('norm_regressor', self.dtype)(x)

    def _decode(self, x: jax.Array) -> jax.Array:
        """Logits of the tokens; the masked patches see each other alone."""
        block = nn.remat(TransformerBlock) if self.remat else TransformerBlock
        for index in range(self.decoder_depth):
            x = block(
                *self._widths,
                layer_scale=self.layer_scale,
                implementation=self.implementation,
                dtype=self.dtype,
                name=f'decoders.{index}',
            )(x)
        x = layer_norm('norm_decoder', self.dtype)(x)
        init = nn.initializers.normal(0.02)
        head = nn.Dense(self.num_classes, kernel_init=init, dtype=self.dtype, name='head')
        return by_rows(head, x)

    @property
    def _widths(self) -> tuple[int, int]:
        """Heads, and hidden width of the feed-forward networks."""
        return self.num_heads, int(self.mlp_ratio * self.embed_dims)
