"""The code of one view from the scores of the others, the loss of SwAV.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual Features by
Contrasting Cluster Assignments", NeurIPS 2020, arXiv 2006.09882.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jssl.layers.widen import widen


def swapped_prediction(
    scores: jax.Array,
    codes: Sequence[jax.Array],
    views: Sequence[int] = (0, 1),
    temperature: float = 0.1,
) -> jax.Array:
    """How badly all other views predict the codes of some of them (equations 1, 2 and 6).

    Args:
      scores: (n, V, K), cosine similarities of V views to K prototypes.
      codes: (n, K) of each of `views`.
      views: those whose codes are predicted.
      temperature: of the predictions.

    Returns:
      The cross entropy in nats, averaged over samples, the other views and `views`; a scalar
      computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import swapped_prediction
      >>> scores = jnp.array([[[1.0, 0.0], [0.8, 0.6]]])  # two views of one image
      >>> codes = [jnp.array([[1.0, 0.0]])] * 2  # both belong to the first prototype
      >>> print(f'{swapped_prediction(scores, codes, temperature=0.5):.4f}')
      0.3200
    """
    scores = widen(scores)
    predictions = jax.nn.log_softmax(scores / temperature, axis=-1)
    total = predictions.sum(axis=1)  # of all views; less a view's own, that of the others
    losses = [
        -jnp.mean(jnp.sum(code * (total - predictions[:, view]), axis=-1))
        for view, code in zip(views, codes, strict=True)
    ]
    return jnp.mean(jnp.stack(losses)) / (scores.shape[1] - 1)
