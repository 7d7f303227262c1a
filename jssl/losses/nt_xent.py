"""NT-Xent: each view of an image among all views of the batch, the loss of SimCLR.

Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, arXiv 2002.05709.
"""

import jax
import jax.numpy as jnp
import optax

from jssl.errors import JsslError
from jssl.layers.widen import PRECISION, widen
from jssl.losses.contrast import contrast


def nt_xent(first: jax.Array, second: jax.Array, temperature: float = 0.1) -> jax.Array:
    """The normalised, temperature-scaled cross entropy (equation 1 and algorithm 1).

    ``-log(exp(s_ij / t) / sum_{k != i} exp(s_ik / t))``, averaged over all 2B views i; j is the
    other view of the same image, s the cosine similarity.

    Args:
      first: projections (B, D) of one view of each image, of any length.
      second: projections (B, D) of the other.
      temperature: t.

    Returns:
      A scalar in nats, computed in at least float32.

    Raises:
      JsslError: for the views of a single image, whose loss would be 0 whatever they are.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import nt_xent
      >>> views = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> print(f'{nt_xent(views, 2 * views, temperature=0.5):.4f}')
      0.2395
    """
    return contrast(*pair_similarities(first, second), temperature)


def pair_similarities(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine similarities of 2B views: to the other view of the same image, and to all others.

    Args:
      first: projections (B, D) of one view of each image.
      second: projections (B, D) of the other.

    Returns:
      Positives (2B,) and negatives (2B, 2B), the views of an image one after the other, with minus
      infinity at a view's own and its partner's place: masking keeps the matrix whole, so that it
      shards over devices by rows. In at least float32.

    Raises:
      JsslError: for the views of a single image.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import pair_similarities
      >>> views = jnp.array([[1.0, 0.0], [0.6, 0.8]])
      >>> positive, negative = pair_similarities(views, views)
      >>> print(positive)
      [1. 1. 1. 1.]
      >>> print(negative[0])
      [-inf -inf  0.6  0.6]
    """
    if len(first) < 2:
        raise JsslError(
            'The views of an image are told from those of others, and a batch of one image has no '
            'others; set config.batch_size to 2 or more.'
        )
    z = jnp.stack([first, second], axis=1).reshape(2 * len(first), -1)
    z = widen(z)
    z /= optax.safe_norm(z, 0.0, axis=1, keepdims=True) + 1e-10
    similarity = jnp.matmul(z, z.T, precision=PRECISION)
    image = jnp.arange(len(z)) // 2
    pairs = z.reshape(len(first), 2, -1)
    positive = jnp.broadcast_to(jnp.sum(pairs.prod(axis=1), axis=1, keepdims=True), (len(first), 2))
    return positive.reshape(-1), jnp.where(image[:, None] == image, -jnp.inf, similarity)
