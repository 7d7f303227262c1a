"""The cross entropy of masked patches with a teacher that sees them, the loss of iBOT.

Zhou et al., "iBOT: Image BERT Pre-Training with Online Tokenizer", ICLR 2022, arXiv 2111.07832.
"""

import jax
import jax.numpy as jnp

from jssl.losses.dino import soft_cross_entropy


def ibot(
    logits: jax.Array, targets: jax.Array, mask: jax.Array, temperature: float = 0.1
) -> jax.Array:
    """The mean over images of the mean cross entropy of an image's masked patches (equation 2).

    Args:
      logits: (B, L, K), the student's.
      targets: (B, L, K), the teacher's probabilities at the same patches; they get no gradient.
      mask: (B, L), 1 where a patch is masked.
      temperature: divides the logits.

    Returns:
      A scalar in nats, computed in at least float32. An image without masked patches adds 0 to the
      mean and counts in it.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import ibot
      >>> logits, sure = jnp.zeros((2, 3, 2)), jnp.zeros((2, 3, 2)).at[..., 0].set(1)
      >>> print(f'{ibot(logits, sure, jnp.array([[1, 1, 0], [0, 0, 0]])):.4f}')  # log 2 / 2
      0.3466
    """
    rows = soft_cross_entropy(logits, targets, temperature)
    mask = mask.astype(rows.dtype)
    return jnp.mean(jnp.sum(rows * mask, axis=1) / jnp.maximum(mask.sum(axis=1), 1))


def ibot_of_rows(
    logits: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    images: int,
    temperature: float = 0.1,
) -> jax.Array:
    """The same for the masked patches of all images in one list of a fixed length, as in DINOv2.

    Args:
      logits: (M, K), the student's.
      targets: (M, K), the teacher's probabilities.
      weights: (M,), one over the number of masked patches of the row's image, 0 for padding.
      images: how many there are, with those that have no masked patch.
      temperature: divides the logits.

    Returns:
      A scalar in nats, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import ibot_of_rows
      >>> sure = jnp.array([[1.0, 0.0]] * 3)
      >>> print(f'{ibot_of_rows(jnp.zeros((3, 2)), sure, jnp.array([0.5, 0.5, 0.0]), 2):.4f}')
      0.3466
    """
    return jnp.sum(weights * soft_cross_entropy(logits, targets, temperature)) / images
