"""The curves of a run: one for whatever it logged, in groups, with names in words."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np

from jssl.visualization.figures import Line, Panel, draw_panel, to_svg
from jssl.visualization.page import part, section, themed_image
from jssl.visualization.wording import GROUPS, RESULT, Wording, wording

Row = Mapping[str, Any]
Scores = Mapping[str, float]
TOGETHER = ('knn', 'linear')  # in one plot
PLACES = ('step', 'epoch', 'time', 'seconds', 'kind', 'subject')  # what is no metric


def curves_section(
    metrics: Sequence[Row], baselines: Mapping[str, Scores], tell: Callable[[str], None]
) -> str:
    """All curves, each group under a heading of its own; empty without any.

    Args:
      metrics: rows of metrics.jsonl; those of the kind 'evaluation' are about held-out images,
        those of 'step' and 'epoch' about the training.
      baselines: scores by what they are of, drawn as lines to compare with.
      tell: is told, in a sentence, of a curve that cannot be drawn.
    """
    x = 'epoch' if all('epoch' in row for row in metrics) else 'step'
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    for words, panel in panels(metrics, baselines, x):
        figure = part(f'The curve {words.name!r}', partial(_figure, panel), tell)
        groups[words.group].append(figure)
    plots = [
        f'<h3>{escape(group)}</h3>\n<div class="panels">\n{"".join(figures)}</div>\n'
        for group, figures in groups.items()
        if any(figures)
    ]
    return section('Curves', 'All that the run logged.', *plots) if plots else ''


def panels(
    metrics: Sequence[Row], baselines: Mapping[str, Scores], x: str
) -> Iterator[tuple[Wording, Callable[[], Panel | None]]]:
    """What to call each plot, and a function that gives its curves."""
    evaluated = [row for row in metrics if row['kind'] == 'evaluation']
    trained = [row for row in metrics if row['kind'] in ('step', 'epoch')]
    for rows, of_steps in ((evaluated, False), (trained, True)):
        names = dict.fromkeys(name for row in rows for name in row if name not in PLACES)
        both = all(name in names for name in TOGETHER) and not of_steps
        for name in names:
            if both and name == TOGETHER[1]:
                continue
            keys = TOGETHER if both and name == TOGETHER[0] else (name,)
            words = wording(name, of_steps=of_steps)
            known = {} if of_steps else baselines
            yield words, partial(_panel, keys, words, rows, known, x)


def _panel(
    keys: Sequence[str],
    words: Wording,
    rows: Sequence[Row],
    baselines: Mapping[str, Scores],
    x: str,
) -> Panel | None:
    lines = tuple(series(rows, x, key) for key in keys)
    lines = tuple(line for line in lines if len(line.x))
    if not lines:
        return None
    key, several = keys[0], len(keys) > 1
    named = f' ({wording(key).name})' if several else ''
    return Panel(
        title=' and '.join(line.name for line in lines),
        lines=lines,
        x_label=x,
        references={
            f'{subject}{named}': scores[key]
            for subject, scores in baselines.items()
            if key in scores and words.group == RESULT
        },
        smooth=words.noisy,
        from_zero=words.from_zero,
    )


def series(metrics: Sequence[Row], x: str, key: str) -> Line:
    """The finite values of `key` in the rows of metrics that have it, as a curve over `x`."""
    points = [(row[x], row[key]) for row in metrics if math.isfinite(row.get(key, math.nan))]
    values = np.array(points, float).reshape(-1, 2)
    return Line(wording(key).name, values[:, 0], values[:, 1])


def _figure(make: Callable[[], Panel | None]) -> str:
    panel = make()
    if panel is None:
        return ''
    last = ', '.join(f'{line.name} {line.y[-1]:.4g}' for line in panel.lines)
    title = f'<h4>{escape(panel.title)}</h4>\n'
    if all(len(line.x) == 1 for line in panel.lines):
        once = f'{last} (logged once, at {panel.x_label} {panel.lines[0].x[0]:g})'
        return f'<figure>\n{title}<figcaption>{escape(once)}</figcaption>\n</figure>\n'
    description = f'{panel.title} over {panel.x_label}; at the end: {last}'
    plot = themed_image(partial(draw_panel, panel), to_svg, 'image/svg+xml', description)
    return f'<figure>\n{title}{plot}</figure>\n'
