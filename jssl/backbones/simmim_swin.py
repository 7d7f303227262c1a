"""The Swin transformer of SimMIM, with a token in place of what is masked."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.backbones.swin import SwinTransformer


class SimMIMSwinTransformer(SwinTransformer):
    """Swin that hides patches after they are embedded (Xie et al. 2022, section 3.2).

    Attributes:
      arch, img_size, ...: as `SwinTransformer`; drop path is on in pre-training too.
    """

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = True, mask: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """Features of `images`.

        Args:
          images: (B, H, W, C).
          train: matters to drop path alone.
          mask: (B, h, w) in patches, not 0 for masked; None for none.

        Returns:
          As `SwinTransformer`.
        """
        tokens = self._embed(images)
        if mask is not None:
            init = nn.initializers.normal(0.02)
            token = self.param('mask_token', init, (1, 1, tokens.shape[-1]))
            tokens = jnp.where(mask[..., None] != 0, token[0].astype(tokens.dtype), tokens)
        return self._stages(self._add_positions(tokens), train)
