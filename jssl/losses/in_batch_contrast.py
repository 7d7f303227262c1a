"""The contrast of predictions with the targets of the same batch, the loss of MoCo v3.

Chen, Xie, He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021,
arXiv 2104.02057.
"""

import jax
import jax.numpy as jnp

from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import PRECISION
from jssl.losses.cross_entropy import cross_entropy


def in_batch_contrast(
    predictions: jax.Array, targets: jax.Array, temperature: float = 1.0
) -> jax.Array:
    """The cross entropy of each prediction's own target among those of the batch (algorithm 1).

    ``-log(exp(s_ii / t) / sum_j exp(s_ij / t))``, averaged over images i; s_ij is the cosine
    similarity of prediction i and target j.

    Args:
      predictions: (B, D), of any length.
      targets: (B, D), of any length, in the same order; no gradient flows into them.
      temperature: t. The paper multiplies the loss by 2 t.

    Returns:
      A scalar in nats, computed in at least float32: log(B) where all similarities are equal.

    Raises:
      JsslError: for a single image, whose loss would be 0 whatever the predictions are.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import in_batch_contrast
      >>> rows = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> print(f'{in_batch_contrast(rows, rows):.4f}')  # log(1 + exp(-1))
      0.3133
    """
    logits = batch_similarities(predictions, targets) / temperature
    return cross_entropy(logits, jnp.arange(len(logits)))


def batch_similarities(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Cosine similarities of all predictions (B, D) to all targets (B, D): (B, B).

    The right target of a prediction is on the diagonal. The targets get no gradient.

    Raises:
      JsslError: for a single image.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import batch_similarities
      >>> print(batch_similarities(2 * jnp.eye(2), jnp.array([[1.0, 0.0], [0.6, 0.8]])))
      [[1.  0.6]
       [0.  0.8]]
    """
    if len(targets) < 2:
        raise JsslError(
            'MoCo v3 tells the target of an image from those of others, and a batch of one '
            'image has no others; set config.batch_size to 2 or more.'
        )
    targets = jax.lax.stop_gradient(l2_normalize(targets))
    return jnp.matmul(l2_normalize(predictions), targets.T, precision=PRECISION)
