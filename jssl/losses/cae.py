"""What CAE pays for wrong tokens, and for latents apart from the teacher's."""

import jax
import jax.numpy as jnp

from jssl.losses.cross_entropy import cross_entropy


def context_autoencoder(
    logits: jax.Array,
    tokens: jax.Array,
    latent: jax.Array,
    target: jax.Array,
    align_weight: float = 2.0,
) -> tuple[jax.Array, jax.Array]:
    """The two terms whose sum CAE minimises (Chen et al. 2022, section 3.3).

    Args:
      logits: (n, K), of the tokens of masked patches.
      tokens: int (n,).
      latent: (n, ..., D), predicted representations of masked patches.
      target: the same shape, the teacher's; no gradient flows into it.
      align_weight: lambda, of the second term.

    Returns:
      The cross entropy of the tokens, and `align_weight` times the mean squared error of the
      latents over all entries; two scalars, computed in at least float32.
    """
    wide = jnp.promote_types(latent.dtype, jnp.float32)
    error = latent.astype(wide) - jax.lax.stop_gradient(target).astype(wide)
    return cross_entropy(logits, tokens), align_weight * jnp.mean(jnp.square(error))
