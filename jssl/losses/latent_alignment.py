"""The regression of a teacher's latents, the second loss of CAE.

Chen, Ding, Wang, Xin, Mo, Wang, Han, Luo, Zeng, Wang, "Context Autoencoder for Self-Supervised
Representation Learning", IJCV 2023, arXiv 2202.03026.
"""

import jax
import jax.numpy as jnp


def latent_alignment(latent: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error of predicted latents, which CAE weighs by lambda (section 3.3).

    Args:
      latent: (..., D), predicted representations of masked patches.
      target: the same shape, the teacher's; no gradient flows into it.

    Returns:
      A scalar, the mean over all entries, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import latent_alignment
      >>> print(latent_alignment(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 0.0]])))
      2.0
    """
    wide = jnp.promote_types(latent.dtype, jnp.float32)
    error = latent.astype(wide) - jax.lax.stop_gradient(target).astype(wide)
    return jnp.mean(jnp.square(error))
