"""Decoupled contrast: NT-Xent without the positive in its denominator, the losses DCL and DCL-W.

Yeh, Hong, Hsu, Liu, Chen, LeCun, "Decoupled Contrastive Learning", ECCV 2022, arXiv 2110.06848.
"""

import jax
import jax.numpy as jnp

from jssl.losses.nt_xent import pair_similarities


def decoupled_contrast(
    first: jax.Array, second: jax.Array, temperature: float = 0.1, sigma: float | None = None
) -> jax.Array:
    """``-w_i s_ij / t + log sum_k exp(s_ik / t)``, averaged over all 2B views (equation 6).

    j is the other view of the same image, k all views of others, s the cosine similarity.

    Args:
      first: projections (B, D) of one view of each image, of any length.
      second: projections (B, D) of the other.
      temperature: t.
      sigma: None for DCL, whose weights w are 1. A number for DCL-W (equation 7), where pairs that
        agree less count more: ``w_i = 2 - B softmax(s / sigma)_i`` over images.

    Returns:
      A scalar in nats, computed in at least float32, which may be negative.

    Raises:
      JsslError: for the views of a single image.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import decoupled_contrast
      >>> views = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> print(f'{decoupled_contrast(views, views, temperature=0.5):.4f}')  # log 2 - 2
      -1.3069
    """
    positive, negative = pair_similarities(first, second)
    weights = jnp.ones_like(positive)
    if sigma is not None:
        # The views of an image come one after the other and have the same weight.
        shares = jax.nn.softmax(jax.lax.stop_gradient(positive[::2]) / sigma)
        weights = jnp.repeat(2 - len(first) * shares, 2)
    others = jax.nn.logsumexp(negative / temperature, axis=1)
    return jnp.mean(others - weights * positive / temperature)
