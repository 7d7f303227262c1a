"""What CAE predicts of a masked patch, and how its two losses are weighed."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.checks import Checked, NonNegative
from jssl.errors import JsslError
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class CAEHead(Checked):
    """The weight of CAE's second loss, and the targets of its first (Chen et al. 2022, 3.3).

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
