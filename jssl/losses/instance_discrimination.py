"""Every image is a class of its own, the loss of NPID.

Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR
2018, arXiv 1805.01978.
"""

import jax

from jssl.losses.contrast import contrast


def instance_discrimination(similarities: jax.Array, temperature: float = 0.07) -> jax.Array:
    """The non-parametric softmax over chosen rows of a bank (equation 2).

    ``-log(exp(s_i / t) / sum_j exp(s_j / t))``, averaged over images; j runs over the image's own
    row i and those drawn as negatives. As in the reference the sum is not scaled up to the whole
    bank, as noise-contrastive estimation would.

    Args:
      similarities: s (B, 1 + M), of each image to its own row, which comes first, and to the M
        negatives; `jssl.memories.bank.similarities` gives them.
      temperature: t.

    Returns:
      A scalar in nats, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import instance_discrimination
      >>> loss = instance_discrimination(jnp.array([[0.9, 0.1, -0.3]]), temperature=0.5)
      >>> print(f'{loss:.4f}')
      0.2567
    """
    return contrast(similarities[:, 0], similarities[:, 1:], temperature)
