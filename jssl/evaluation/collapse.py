"""Collapse: whether the features still differ from image to image, and in how many directions.

A self-supervised loss can fall while the network maps all images to nearly the same feature, or to
a few directions. Both show in the features long before anyone looks at an accuracy.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from jssl.errors import JsslError, NotFinite

RANK_EPSILON = 1e-7  # of RankMe's equation
LOWEST_STD = 0.1
LOWEST_RANK = 2.0
LOWEST_RANK_SHARE = 0.01  # of the dimensions
LARGEST_DROP = 5.0  # times below the best value of the run
MOST_ROWS = 10_000  # images whose features are looked at
PATIENCE = 2  # evaluations in a row, because the first steps of a healthy run pass a narrow place

REMEDIES = (
    'What usually helps: a lower learning rate or a longer warm-up, another temperature, a larger '
    'batch, and a check that the stop-gradient or momentum target is where the method wants it.'
)


def evenly_spaced(total: int, limit: int) -> np.ndarray:
    """At most `limit` row numbers out of `total`, ascending and spread over all of them."""
    count = min(total, limit)
    return np.arange(count) * total // max(count, 1)


def feature_std(features: np.ndarray) -> float:
    """The spread of l2-normalised features (N, D): their standard deviation per dimension.

    It is averaged over dimensions and multiplied by sqrt(D), so that 1 means spread evenly over
    the sphere and 0 that all features are equal (Chen and He 2021, "Exploring Simple Siamese
    Representation Learning", section 4.1). Features after a ReLU stay below 1.
    """
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norm, 1e-12)
    return float(unit.std(axis=0).mean() * np.sqrt(features.shape[1]))


def rankme(features: np.ndarray) -> float:
    """The effective rank of features (N, D): from 1 to min(N, D).

    It is exp(-sum p log p) with p = s / sum(s) + 1e-7 over the singular values s, as in Garrido et
    al. 2023, "RankMe", equations 1 and 2. All zeros count as rank 1.
    """
    values = np.linalg.svd(features, compute_uv=False)
    if values[0] == 0:
        return 1.0
    share = values / values.sum() + RANK_EPSILON
    return float(np.exp(-np.sum(share * np.log(share))))


def feature_statistics(features: np.ndarray, *, max_rows: int = MOST_ROWS) -> dict[str, float]:
    """Collapse indicators of features (N, D): `feature_std` and `rankme`.

    Args:
      features: one row per image; computed in float64.
      max_rows: use at most so many rows, evenly spaced; the values hardly depend on more.

    Raises:
      JsslError: not a matrix, or, as `NotFinite`, not finite.
    """
    if features.ndim != 2 or len(features) == 0:
        raise JsslError(
            f'features of the shape {features.shape} are no matrix of one row an image.'
        )
    rows = np.asarray(features[evenly_spaced(len(features), max_rows)], np.float64)
    if not np.isfinite(rows).all():
        raise NotFinite(
            'The features hold NaN or infinity, so the network has diverged; lower the learning '
            'rate, lengthen the warm-up, or clip the gradient.'
        )
    return {'feature_std': feature_std(rows), 'rankme': rankme(rows)}


def collapse_warning(history: Sequence[Mapping[str, float]], dimensions: int) -> str | None:
    """A warning in words when the last evaluations show a collapse, else None.

    It takes two evaluations in a row with `feature_std` under 0.1, with `rankme` under 2 (a quarter
    of the dimensions where they are fewer than 8) or 1 % of the dimensions, or with either more
    than five times below its best. One dimension, or one image, tells nothing.

    Args:
      history: rows with `feature_std` and `rankme` (others are passed over), the newest last; leave
        the untrained network out, whose features say nothing about the training.
      dimensions: D of the features, or the number of images if that is smaller: no rank is larger.
    """
    keys = ('feature_std', 'rankme')
    rows = [row for row in history if all(math.isfinite(row.get(key, math.nan)) for key in keys)]
    if dimensions < 2:
        return None
    lowest_rank = max(min(LOWEST_RANK, dimensions / 4), LOWEST_RANK_SHARE * dimensions)
    causes = (_constant(rows), _few_directions(rows, lowest_rank, dimensions), _dropped(rows))
    cause = next(filter(None, causes), None)
    return cause and f'{cause} {REMEDIES}'


def _stays_below(rows: Sequence[Mapping[str, float]], key: str, level: float) -> bool:
    recent = rows[-PATIENCE:]
    return len(recent) == PATIENCE and all(row[key] < level for row in recent)


def _constant(rows: Sequence[Mapping[str, float]]) -> str | None:
    if not _stays_below(rows, 'feature_std', LOWEST_STD):
        return None
    spread = rows[-1]['feature_std']
    return (
        f'The features have nearly collapsed to a point: their spread is {spread:.3f} '
        '(0 = all images alike, 1 = spread evenly), so they can hardly tell images apart.'
    )


def _few_directions(
    rows: Sequence[Mapping[str, float]], lowest: float, dimensions: int
) -> str | None:
    if not _stays_below(rows, 'rankme', lowest):
        return None
    return (
        f'The features have collapsed to few directions: their effective rank (RankMe) is '
        f'{rows[-1]["rankme"]:.1f} of {dimensions}, so most dimensions repeat the same information.'
    )


def _dropped(rows: Sequence[Mapping[str, float]]) -> str | None:
    for key, name in (('feature_std', 'spread'), ('rankme', 'effective rank (RankMe)')):
        best = max((row[key] for row in rows), default=0.0)
        if _stays_below(rows, key, best / LARGEST_DROP):
            return (
                f'The features are collapsing: their {name} fell from {best:.3g} to '
                f'{rows[-1][key]:.3g}, so the network is losing distinctions it once made.'
            )
    return None
