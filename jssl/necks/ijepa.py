"""The predictor of I-JEPA."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Natural, NonNegative, Positive
from jssl.errors import JsslError
from jssl.layers.attention import Implementation
from jssl.layers.layer_norm import layer_norm
from jssl.layers.position_embedding import sincos_positions
from jssl.layers.rows import by_rows
from jssl.layers.transformer import TransformerBlock, TransformerInit

TOKEN = nn.initializers.normal(0.02)


class IJEPAPredictor(Checked, nn.Module):
    """A narrow transformer from the context's tokens to those of a block at a given place.

    Assran et al. 2023, section 3, "prediction". Every target block goes through it on its own, with
    the whole context: blocks do not see each other.

    Attributes:
      num_patches: of an image, a square number.
      embed_dims: width of the encoder's tokens, checked against what arrives.
      predictor_embed_dims: width of the predictor.
      depth: number of blocks.
      num_heads: heads of their attention; as many as the encoder's in the reference.
      mlp_ratio: width of the feed-forward networks over that of the predictor.
      init_std: standard deviation of the initial kernels; a narrow predictor needs about
        sqrt(1 / width).
      remat: compute each block again in the backward pass instead of keeping its activations.
      implementation: of the attention: 'xla', 'cudnn' or None, see `attend`.
      dtype: of the computation (parameters stay as they are); None follows the input.
    """

    num_patches: Count = 256
    embed_dims: Count = 1280
    predictor_embed_dims: Count = 384
    depth: Natural = 12
    num_heads: Count = 16
    mlp_ratio: Positive = 4
    init_std: NonNegative = 0.02
    remat: bool = False
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(self, latent: jax.Array, context: jax.Array, targets: jax.Array) -> jax.Array:
        """What the encoder would say of the target blocks.

        Args:
          latent: (B, n, embed_dims), the encoder's tokens of the context.
          context: int (B, n), the numbers of its patches.
          targets: int (B, T, m), those of T blocks.

        Returns:
          (B, T, m, embed_dims).

        Raises:
          JsslError: if `embed_dims` is not the encoder's, or `num_patches` is no square.
        """
        self._check(latent)
        batch, blocks, count = targets.shape
        positions = self._positions().astype(latent.dtype)
        x = by_rows(self._linear(self.predictor_embed_dims, 'predictor_embed'), latent)
        x += positions[context]
        token = self.param('mask_token', TOKEN, (1, 1, self.predictor_embed_dims))
        hidden = token.astype(x.dtype) + positions[targets]
        x = jnp.broadcast_to(x[:, None], (batch, blocks, *x.shape[1:]))
        x = jnp.concatenate([x, hidden], axis=2).reshape(batch * blocks, -1, x.shape[-1])
        x = layer_norm('predictor_norm', self.dtype)(self._blocks(x))[:, -count:]
        x = by_rows(self._linear(self.embed_dims, 'predictor_proj'), x)
        return x.reshape(batch, blocks, count, self.embed_dims)

    @nn.nowrap
    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name` is not trained: the fixed positions."""
        return name == 'predictor_pos_embed'

    @property
    def _init(self) -> nn.initializers.Initializer:
        return nn.initializers.normal(self.init_std)

    def _positions(self) -> jax.Array:
        """The fixed table (num_patches, C), stored as in the reference."""
        grid, width = round(self.num_patches**0.5), self.predictor_embed_dims
        fixed = sincos_positions(grid, width, cls_token=False, columns_first=True)
        table = self.param('predictor_pos_embed', lambda key: jnp.asarray(fixed))
        return jax.lax.stop_gradient(table)[0]

    def _blocks(self, x: jax.Array) -> jax.Array:
        block = nn.remat(TransformerBlock) if self.remat else TransformerBlock
        for index in range(self.depth):
            x = block(
                self.num_heads,
                int(self.mlp_ratio * self.predictor_embed_dims),
                init_values=TransformerInit(qkv=self._init, kernel=self._init),
                implementation=self.implementation,
                dtype=self.dtype,
                name=f'predictor_blocks.{index}',
            )(x)
        return x

    def _linear(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, kernel_init=self._init, dtype=self.dtype, name=name)

    def _check(self, latent: jax.Array) -> None:
        if latent.shape[-1] != self.embed_dims:
            raise JsslError(
                f'config.model.neck.embed_dims={self.embed_dims}, but tokens of {latent.shape[-1]} '
                f'channels arrive; set config.model.neck.embed_dims={latent.shape[-1]}.'
            )
        side = round(self.num_patches**0.5)
        if side**2 != self.num_patches:
            raise JsslError(
                f'config.model.neck.num_patches={self.num_patches} is no square number; set it to '
                f'that of the patches of an image, such as {side**2}.'
            )
