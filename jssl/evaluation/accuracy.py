"""How often a classifier is right on held-out images."""

import jax.numpy as jnp
from jax.typing import ArrayLike

from jssl.errors import JsslError
from jssl.evaluation.inputs import checked_labels
from jssl.losses.classification import top_k_hits


def top_k_accuracy(logits: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """The share of samples whose label is among the `k` largest logits.

    Args:
      logits: (N, K); of equal ones the class with the lower number counts as larger.
      labels: (N,), classes in [0, K).
      k: how many classes may be named; with k >= K everything is right.

    Raises:
      JsslError: for logits that are no matrix, labels that do not fit them, or k below 1.
    """
    scores = jnp.asarray(logits)
    if scores.ndim != 2 or k < 1:
        raise JsslError(
            f'logits of shape {scores.shape} and k={k} give no accuracy; give one row of class '
            'logits for each sample, and k of at least 1.'
        )
    checked = checked_labels(labels, len(scores), scores.shape[1], 'labels')
    return float(jnp.mean(top_k_hits(scores, checked, k)))


def classifier_scores(logits: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """What a run reports of a classifier.

    Args:
      logits: (N, K), or (N, heads, K) of a classifier with several heads.
      labels: (N,).

    Returns:
      `test_accuracy` and, with more than 5 classes, `test_top5`, from 0 to 1. Several heads have
      `test_accuracy.1` and so on each, and the two names without a number are of the last.

    Raises:
      JsslError: labels that do not fit the logits.
    """
    scores = jnp.asarray(logits)
    if scores.ndim == 3:
        heads = range(scores.shape[1])
        each = {f'test_accuracy.{i + 1}': top_k_accuracy(scores[:, i], labels) for i in heads}
        return each | classifier_scores(scores[:, -1], labels)
    found = {'test_accuracy': top_k_accuracy(scores, labels)}
    return found | ({'test_top5': top_k_accuracy(scores, labels, 5)} if scores.shape[1] > 5 else {})
