"""The lanes of a sweep side by side: their settings, and what they have reached."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jssl.errors import show
from jssl.visualization.wording import in_order, wording, written

DECISIVE = ('test_accuracy', 'knn')  # by which lanes are ranked: the first that there is
NOTHING = '-'
LEFT_OUT = ('knn_top5', 'test_top5')


@dataclasses.dataclass(frozen=True)
class LaneResult:
    """A lane, and what came of it.

    Attributes:
      name: of the lane, such as ``'lane-3'``.
      setting: field of the config -> its value in this lane.
      rows: of its metrics.
      loss: the last that was logged; NaN for none.
      scores: of the last evaluation.
      over: why it was stopped before the end; empty where it was not.
    """

    name: str
    setting: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    loss: float
    scores: Mapping[str, float]
    over: str = ''


def best_of(lanes: Sequence[LaneResult]) -> LaneResult | None:
    """The lane with the best kNN, or accuracy of a classifier; None without such numbers."""
    for name in DECISIVE:
        judged = [lane for lane in lanes if name in lane.scores and not lane.over]
        if judged:
            return max(judged, key=lambda lane: lane.scores[name])
    return None


def short_names(fields: Sequence[str]) -> list[str]:
    """The fields by their last names, whole where two have the same.

    Examples:
      >>> short_names(['optimizer.lr', 'seed'])
      ['lr', 'seed']
    """
    last = [field.rpartition('.')[2] for field in fields]
    return [
        field if last.count(name) > 1 else name for field, name in zip(fields, last, strict=True)
    ]


def cells(lanes: Sequence[LaneResult]) -> tuple[list[str], list[list[str]]]:
    """The titles of a table, and a row of texts for each lane."""
    fields = list(lanes[0].setting)
    scores = in_order(name for lane in lanes for name in lane.scores if name not in LEFT_OUT)
    titles = ['lane', *short_names(fields), 'loss', *(wording(name).name for name in scores)]
    return titles, [_row(lane, fields, scores) for lane in lanes]


def _row(lane: LaneResult, fields: Sequence[str], scores: Sequence[str]) -> list[str]:
    loss = f'{lane.loss:.4g}' if math.isfinite(lane.loss) else NOTHING
    known = {name: written(name, value) for name, value in lane.scores.items()}
    found = [known.get(name, NOTHING) for name in scores]
    if lane.over:
        loss, found = 'stopped', [NOTHING] * len(scores)
    return [lane.name, *(show(lane.setting[field]) for field in fields), loss, *found]


def text_table(lanes: Sequence[LaneResult]) -> list[str]:
    """The lines of a table for a terminal; a star marks the best lane."""
    titles, rows = cells(lanes)
    best = best_of(lanes)
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    marks = ['  ', *('* ' if lane is best else '  ' for lane in lanes)]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (titles, *rows)
    ]
    return [f'{mark}{line}'.rstrip() for mark, line in zip(marks, lines, strict=True)]
