"""What CAE predicts of a masked patch: its token, and the teacher's representation of it."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.checks import Checked, NonNegative
from jssl.errors import JsslError
from jssl.losses import cross_entropy, latent_alignment
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class CAEHead(Checked):
    """The loss of CAE (Chen et al. 2022, section 3.3).

    Attributes:
      align_weight: of the latents' error against that of the tokens; `lambd` in the reference.

    Raises:
      JsslError: if the weight is negative.
    """

    align_weight: NonNegative = 2.0

    reference: ClassVar[Reference] = Reference(losses={'CAELoss': {'lambd': 'align_weight'}})

    def tokens(self, targets: jax.Array, patches: int) -> jax.Array:
        """What a tokenizer gives -> int32 (B, patches), row-major.

        Args:
          targets: int (B, h, w), or logits (B, h, w, K), of which the largest counts.
          patches: of the encoder's image.

        Raises:
          JsslError: if there is not one token for each patch.
        """
        if jnp.issubdtype(targets.dtype, jnp.floating):
            targets = jnp.argmax(targets, axis=-1)
        batch, rows, columns = targets.shape
        if rows * columns != patches:
            raise JsslError(
                f'The target generator gives {rows} x {columns} tokens for {patches} patches of '
                'the backbone; change views.token_size or the patch size of one of them.'
            )
        return targets.reshape(batch, patches).astype(jnp.int32)

    def loss(
        self, logits: jax.Array, tokens: jax.Array, latent: jax.Array, target: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Both terms for masked patches.

        Args:
          logits: (B, n, K).
          tokens: int (B, n).
          latent: (B, n, D), predicted.
          target: (B, n, D), the teacher's.
        """
        flat = logits.reshape(-1, logits.shape[-1])
        align = self.align_weight * latent_alignment(latent, target)
        return cross_entropy(flat, tokens.reshape(-1)), align
