"""Weighted nearest neighbours: the score of a representation that needs no training.

Every test image gathers the votes of its `k` most similar train images, each weighing
exp(cosine similarity / temperature): Wu et al. 2018, "Unsupervised Feature Learning via
Non-Parametric Instance Discrimination", section 3.4.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jssl.checks import Checked, Count, Positive
from jssl.errors import JsslError
from jssl.evaluation.inputs import checked_features, checked_labels, numbered
from jssl.evaluation.metrics import Extracted, Scores, labelled

# Similarities held at once (256 MB in float32), so that ImageNet needs no 50k x 1.28M matrix.
MAX_SIMILARITIES = 2**26
MAX_CHUNK = 128  # test rows at once, with which the product is as fast as with more
GROUP = 32  # train rows of which the best one decides first
TOP = 5


def unit_rows(features: jax.Array) -> jax.Array:
    """Scales every row of `features` (N, D) to length 1; a zero row stays zero."""
    norm = jnp.linalg.norm(features, axis=-1, keepdims=True)
    return features / jnp.maximum(norm, 1e-12)


@partial(jax.jit, static_argnames=('k', 'num_classes', 'chunk'))
def _rank(
    train: jax.Array,
    labels: jax.Array,
    test: jax.Array,
    temperature: jax.Array,
    *,
    k: int,
    num_classes: int,
    chunk: int,
) -> jax.Array:
    train, test = unit_rows(train), unit_rows(test)

    def rank(row: jax.Array) -> jax.Array:
        # Accelerators multiply in fewer bits unless told; exp(similarity / 0.07) shows it.
        nearest = largest(jnp.dot(row, train.T, precision='highest'), k)
        # Seen together with the slice below, XLA's CPU backend would sort in full.
        similarities, neighbours = jax.lax.optimization_barrier(nearest)
        # Dividing all votes by the largest changes no rank and cannot overflow.
        votes = jnp.exp((similarities - similarities[0]) / temperature)
        # A sum over a mask is reproducible, where a scatter on a GPU adds in any order.
        votes_for = labels[neighbours][:, None] == jnp.arange(num_classes)
        votes_per_class = jnp.sum(jnp.where(votes_for, votes[:, None], 0), axis=0)
        return jax.lax.top_k(votes_per_class, min(TOP, k, num_classes))[1]

    return jax.lax.map(rank, test, batch_size=chunk)


def largest(values: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """`jax.lax.top_k` of (N,), sooner: only groups whose best is among the k best are looked at.

    Example:
      >>> import jax.numpy as jnp
      >>> values, places = largest(jnp.arange(99.0) % 40, k=2)
      >>> print(*values, *places)
      39.0 39.0 39 79
    """
    whole = len(values) - len(values) % GROUP
    groups = values[:whole].reshape(-1, GROUP)
    if len(groups) <= k:
        return jax.lax.top_k(values, k)
    # In their order, so that of equal values the first one is taken.
    best = jnp.sort(jax.lax.top_k(groups.max(axis=1), k)[1])
    candidates = jnp.concatenate([groups[best].ravel(), values[whole:]])
    found, among = jax.lax.top_k(candidates, k)
    grouped = best[jnp.minimum(among // GROUP, k - 1)] * GROUP + among % GROUP
    return found, jnp.where(among < k * GROUP, grouped, among + (whole - k * GROUP))


def chunk_rows(train_rows: int, test_rows: int) -> int:
    """How many test rows to compare with all train rows at once."""
    return max(1, min(MAX_CHUNK, MAX_SIMILARITIES // train_rows, test_rows))


def knn_ranking(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    *,
    k: int = 20,
    temperature: float = 0.07,
    num_classes: int | None = None,
) -> np.ndarray:
    """The classes that the neighbours of every test row vote for, best first.

    Args:
      train_features: (N, D); scaled to unit length here, as are the test features.
      train_labels: (N,) class indices.
      test_features: (M, D).
      k: neighbours that vote.
      temperature: how much a closer neighbour weighs more: exp(similarity / temperature).
      num_classes: by default the labels that occur in `train_labels` are counted.

    Returns:
      int32 (M, min(5, k, num_classes)). Classes without a vote come last, in their order.

    Raises:
      JsslError: shapes or labels that do not fit, or fewer than `k` train rows.
    """
    train = checked_features(train_features, 'train_features')
    test = checked_features(test_features, 'test_features')
    if train.shape[1] != test.shape[1]:
        raise JsslError(
            f'train_features have {train.shape[1]} dimensions and test_features have '
            f'{test.shape[1]}; extract both with the same network.'
        )
    if not 0 < k <= len(train):
        raise JsslError(f'k={k} neighbours cannot be chosen from {len(train)} images; lower k.')
    present = None
    if num_classes is None:
        present, (train_labels,) = numbered(train_labels=train_labels)
        num_classes = len(present)
    labels = checked_labels(train_labels, len(train), num_classes, 'train_labels')
    options = {'k': k, 'num_classes': num_classes, 'chunk': chunk_rows(len(train), len(test))}
    ranking = _rank(train, labels, test, jnp.asarray(temperature, test.dtype), **options)
    return np.asarray(ranking) if present is None else present[ranking].astype(np.int32)


def ranking_accuracy(ranking: np.ndarray, labels: ArrayLike, top: int = 1) -> float:
    """The share of rows whose label is among the first `top` columns of `ranking` (M, C)."""
    hits = ranking[:, :top] == np.asarray(labels)[:, None]
    return float(hits.any(axis=1).mean())


def knn_accuracy(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    k: int = 20,
    temperature: float = 0.07,
    num_classes: int | None = None,
    top: int = 1,
) -> float:
    """The share of test rows whose class is among the `top` (at most 5) most voted ones.

    Arguments and errors are those of `knn_ranking`; test_labels: (M,) class indices.
    """
    if num_classes is None:
        present, (train_labels, test_labels) = numbered(
            train_labels=train_labels, test_labels=test_labels
        )
        num_classes = len(present)
    checked_labels(test_labels, len(np.asarray(test_features)), num_classes, 'test_labels')
    ranking = knn_ranking(
        train_features,
        train_labels,
        test_features,
        k=k,
        temperature=temperature,
        num_classes=num_classes,
    )
    return ranking_accuracy(ranking, test_labels, top)


@dataclasses.dataclass(frozen=True)
class KNN(Checked):
    """The metric of nearest neighbours.

    Attributes:
      k: neighbours that vote; all where there are fewer.
      temperature: how much a closer neighbour weighs more.
    """

    k: Count = 20
    temperature: Positive = 0.07

    def __call__(self, train: Extracted | None, test: Extracted, /) -> Scores:
        """`knn`, the accuracy, and with more than five classes `knn_top5`; none without labels."""
        data = labelled(train, test)
        if data is None:
            return {}
        present, (learned, wanted) = numbered(
            train_labels=data.train_labels, test_labels=data.test_labels
        )
        ranking = knn_ranking(
            data.train,
            learned,
            data.test,
            k=min(self.k, len(learned)),
            temperature=self.temperature,
            num_classes=len(present),
        )
        found = {'knn': ranking_accuracy(ranking, wanted)}
        if len(present) > TOP:
            found['knn_top5'] = ranking_accuracy(ranking, wanted, TOP)
        return found
