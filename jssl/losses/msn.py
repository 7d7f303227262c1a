"""Prototypes that masked views share with whole ones, the losses of MSN and PMSN.

Assran et al., "Masked Siamese Networks for Label-Efficient Learning", ECCV 2022, arXiv 2204.07141;
Assran et al., "The Hidden Uniform Cluster Prior in Self-Supervised Learning", ICLR 2023, arXiv
2210.07277, for PMSN.
"""

import jax
import jax.numpy as jnp

from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import PRECISION, widen
from jssl.losses.dino import soft_cross_entropy
from jssl.losses.sinkhorn import sinkhorn


def prototype_similarities(rows: jax.Array, prototypes: jax.Array) -> jax.Array:
    """The cosine similarities (n, K) of rows (n, D) and prototypes (K, D), of any length.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import prototype_similarities
      >>> print(prototype_similarities(jnp.array([[3.0, 4.0]]), jnp.eye(2)))
      [[0.6 0.8]]
    """
    return jnp.matmul(l2_normalize(rows), l2_normalize(prototypes).T, precision=PRECISION)


def sharpened_targets(
    similarities: jax.Array, temperature: float = 0.1, sharpening: float = 0.25, rounds: int = 3
) -> jax.Array:
    """A teacher's assignment to prototypes, without gradient (section 3 of MSN).

    ``p^(1/T) / sum p^(1/T)`` of the softmax p, which is the softmax at temperature t T, and then
    Sinkhorn's rounds, so that all prototypes are used alike.

    Args:
      similarities: (n, K), of the whole images.
      temperature: t.
      sharpening: T.
      rounds: of Sinkhorn; 0 for none.

    Returns:
      Probabilities (n, K), in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import sharpened_targets
      >>> similarities = jnp.array([[1.0, 0.8], [1.0, 0.2]])  # both prefer the first prototype
      >>> print(sharpened_targets(similarities, rounds=0).argmax(axis=1))
      [0 0]
      >>> print(sharpened_targets(similarities).argmax(axis=1))
      [1 0]
    """
    similarities = jax.lax.stop_gradient(widen(similarities))
    logs = jax.nn.log_softmax(similarities / (temperature * sharpening), axis=1)
    return sinkhorn(logs, epsilon=1.0, iterations=rounds) if rounds else jnp.exp(logs)


def msn(similarities: jax.Array, targets: jax.Array, temperature: float = 0.1) -> jax.Array:
    """The mean cross entropy of masked views' assignments with their images' (equation 1).

    Args:
      similarities: (V n, K), of V masked views of n images, those of a view after the other.
      targets: (n, K), of the images, see `sharpened_targets`; they get no gradient.
      temperature: of the softmax of the masked views.

    Returns:
      A scalar in nats, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import msn
      >>> print(f'{msn(jnp.zeros((4, 2)), jnp.array([[1.0, 0.0], [0.0, 1.0]])):.4f}')  # log 2
      0.6931
    """
    copies = jnp.tile(targets, (len(similarities) // len(targets), 1))
    return jnp.mean(soft_cross_entropy(similarities, copies, temperature))


def prior_divergence(
    similarities: jax.Array, temperature: float = 0.1, exponent: float | None = None
) -> jax.Array:
    """How far the use of the prototypes is from what is expected of it.

    Args:
      similarities: (n, K), of the masked views.
      temperature: of their softmax.
      exponent: None for MSN's ``log K - H(mean p)``, 0 where all prototypes are used alike. A
        number a for PMSN's ``KL(prior || mean p)`` with a prior of prototype k that goes as k^-a.

    Returns:
      A scalar in nats, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import prior_divergence
      >>> print(prior_divergence(jnp.array([[1.0, 0.0], [0.0, 1.0]])).round(4))
      0.0
    """
    logs = jax.nn.log_softmax(widen(similarities) / temperature, axis=1)
    mean = jax.nn.logsumexp(logs, axis=0) - jnp.log(len(logs))
    count = logs.shape[1]
    if exponent is None:
        return jnp.sum(jnp.exp(mean) * mean) + jnp.log(count).astype(mean.dtype)
    log_prior = jax.nn.log_softmax(-exponent * jnp.log(jnp.arange(1, count + 1, dtype=mean.dtype)))
    return jnp.sum(jnp.exp(log_prior) * (log_prior - mean))
