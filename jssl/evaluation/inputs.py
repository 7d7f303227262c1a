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
    if values.min() < 0 or values.max() >= num_classes:
        raise JsslError(
            f'{name} goes from {values.min()} to {values.max()}, outside 0 to {num_classes - 1}; '
            'raise num_classes or leave out the images without a label.'
        )
    return jnp.asarray(values, jnp.int32)


def class_count(*labels: ArrayLike) -> int:
    """The number of classes when nobody names it: the largest label plus one."""
    return int(max(np.max(np.asarray(part), initial=0) for part in labels)) + 1
