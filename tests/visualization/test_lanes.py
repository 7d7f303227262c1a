"""The lanes of a sweep in a table."""

import math

from jssl.visualization.figures import CLASS_COLORS, lane_color, lane_dashes
from jssl.visualization.lanes import LaneResult, best_of, cells, short_names, text_table


def lane(number: int, **changes: object) -> LaneResult:
    """A lane of two evaluations and 25 lines of steps."""
    rows = [
        {'kind': 'step', 'step': step, 'epoch': step / 10, 'loss': 5 / step, 'lr': 0.1 * number}
        for step in range(1, 26)
    ]
    rows += [
        {'kind': 'evaluation', 'step': step, 'epoch': step / 10, 'knn': 0.4 + number / 50}
        for step in (10, 20)
    ]
    given = {
        'name': f'lane-{number}',
        'setting': {'optimizer.lr': 0.1 * number, 'seed': number},
        'rows': rows,
        'loss': 0.2,
        'scores': {'knn': 0.4 + number / 50, 'knn_top5': 0.9, 'feature_std': 0.5},
    }
    return LaneResult(**{**given, **changes})  # type: ignore[arg-type]


def test_the_table_marks_the_best_and_says_what_stopped() -> None:
    lanes = [lane(0), lane(2), lane(5, over='no longer finite', scores={}, loss=math.nan)]
    title, *rows = text_table(lanes)
    assert title.split() == ['lane', 'lr', 'seed', 'loss', 'kNN', 'feature', 'spread']
    assert rows[0].split() == ['lane-0', '0.0', '0', '0.2', '40.0', '%', '0.50']
    assert rows[1].startswith('* lane-2')
    assert rows[2].split() == ['lane-5', '0.5', '5', 'stopped', '-', '-']
    assert len({line.index('lane') for line in (title, *rows)}) == 1


def test_the_best_is_that_of_a_classifier_else_of_knn_else_none() -> None:
    lanes = [lane(0, scores={'test_accuracy': 0.6, 'knn': 0.1}), lane(1), lane(2, over='NaN')]
    assert best_of(lanes) is lanes[0]
    assert best_of(lanes[1:]) is lanes[1]
    assert best_of([lane(0, scores={'rankme': 3.0})]) is None


def test_fields_are_called_by_their_last_names_unless_two_have_the_same() -> None:
    found = short_names(['views.0.scale', 'views.1.scale', 'seed'])
    assert found == ['views.0.scale', 'views.1.scale', 'seed']
    assert cells([lane(0)])[0][1:3] == ['lr', 'seed']


def test_a_lane_has_a_line_of_its_own() -> None:
    drawn = [(lane_color(number), lane_dashes(number)) for number in range(4 * len(CLASS_COLORS))]
    assert len(set(drawn)) == len(drawn)
    assert drawn[0][1] == 'none'
