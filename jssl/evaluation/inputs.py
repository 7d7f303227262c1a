"""Checks shared by the scores: features and labels come from users, so mistakes are named here."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jssl.errors import JsslError


def checked_features(features: ArrayLike, name: str) -> jax.Array:
    """Returns `features` as a matrix (N, D) of at least float32.

    Raises:
      JsslError: not a matrix, or no rows.
    """
    matrix = jnp.asarray(features)
    if matrix.ndim != 2 or matrix.shape[0] == 0:
        raise JsslError(
            f'{name} must be a matrix of one row per image, but its shape is {matrix.shape}; '
            'pool feature maps first, for example with their mean over height and width.'
        )
    return matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32))


def checked_labels(labels: ArrayLike, rows: int, num_classes: int, name: str) -> jax.Array:
    """Returns `labels` as int32 (N,), each in [0, num_classes).

    Raises:
      JsslError: another length than the features, or a label outside the range.
    """
    values = np.asarray(labels)
    if values.shape != (rows,):
        raise JsslError(
            f'{name} has the shape {values.shape} but there are {rows} feature rows; '
            'give one class index per row, in the same order.'
        )
    if values.dtype.kind not in 'iu':
        raise JsslError(
            f'{name} has the type {values.dtype}; give whole numbers, such as labels.astype(int).'
        )
    if values.min() < 0 or values.max() >= num_classes:
        raise JsslError(
            f'{name} goes from {values.min()} to {values.max()}, outside 0 to {num_classes - 1}; '
            'raise num_classes or leave out the images without a label.'
        )
    return jnp.asarray(values, jnp.int32)


def numbered(**labels: ArrayLike) -> tuple[np.ndarray, list[np.ndarray]]:
    """The labels that occur, counted: numbers of something else, such as ids, need no more memory.

    Args:
      labels: arrays (N,) of class indices by name.

    Returns:
      The K different labels in ascending order, and for every array its labels' places among them,
      (N,), each in [0, K).

    Raises:
      JsslError: labels that are no whole numbers from 0.
    """
    parts = [np.asarray(part) for part in labels.values()]
    for name, part in zip(labels, parts, strict=True):
        checked_labels(part, part.size, 2**31, name)
    present, places = np.unique(np.concatenate(parts), return_inverse=True)
    return present, np.split(places, np.cumsum([len(part) for part in parts])[:-1])
