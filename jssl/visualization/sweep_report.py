"""report.html of a sweep: its lanes in a table and their curves over each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path

from jssl.files import replace_file
from jssl.visualization.curves import PLACES, series
from jssl.visualization.figures import (
    Line,
    Panel,
    draw_panel,
    lane_color,
    lane_dashes,
    to_svg,
)
from jssl.visualization.lanes import LaneResult, best_of, cells, short_names
from jssl.visualization.page import page, part, section, table, themed_image, warning
from jssl.visualization.results import next_section
from jssl.visualization.wording import GROUPS, SPEED, wording

OF_STEPS = ('step', 'epoch')  # kinds of rows


def write_sweep_report(
    path: Path,
    *,
    title: str,
    lanes: Sequence[LaneResult],
    commands: Mapping[str, str],
    tell: Callable[[str], None] = print,
) -> Path:
    """Writes the report of a sweep, whole or not at all; a part that fails is missing in it alone.

    Args:
      path: the file to write.
      title: its heading.
      lanes: what came of each.
      commands: what can be done next: sentences, and the commands that do it.
      tell: is told, in a sentence each, of parts that cannot be made.

    Raises:
      OSError: it cannot be written.
    """
    parts = [
        f'<header><h1>{escape(title)}</h1></header>\n',
        *(warning(f'{lane.name} stopped: {lane.over}') for lane in lanes if lane.over),
        part('The table of lanes', partial(_table, lanes), tell),
        part('What can be done next', partial(next_section, commands), tell),
        part('The names of the lanes', partial(_curves, lanes, tell), tell),
        '<footer>Written by jssl. Nothing on this page is loaded from a network.</footer>\n',
    ]
    replace_file(path, page(title, parts).encode())
    return path


def _table(lanes: Sequence[LaneResult]) -> str:
    titles, rows = cells(lanes)
    best = best_of(lanes)
    made = [_row(titles, row, lane is best) for row, lane in zip(rows, lanes, strict=True)]
    text = 'Each lane is the directory of a run; the best one holds a report of its own.'
    return section('Lanes', text, table(titles, made, 'results'))


def _row(titles: Sequence[str], row: Sequence[str], best: bool) -> str:
    found = ''.join(
        f'<td data-name="{escape(title)}">{escape(cell)}</td>'
        for title, cell in zip(titles[1:], row[1:], strict=True)
    )
    style = 'result' if best else ''
    return f'<tr class="{style}"><th scope="row">{escape(row[0])}</th>{found}</tr>\n'


def _curves(lanes: Sequence[LaneResult], tell: Callable[[str], None]) -> str:
    """The names of the lanes in their colours, and a plot for whatever they logged."""
    groups: dict[str, list[str]] = {group: [] for group in GROUPS if group != SPEED}
    for group, panel in _panels(lanes):
        if group in groups:
            groups[group].append(part(f'The curve {panel.title!r}', partial(_figure, panel), tell))
    plots = [
        f'<h3>{escape(group)}</h3>\n<div class="panels">\n{"".join(figures)}</div>\n'
        for group, figures in groups.items()
        if figures
    ]
    return section('Curves', 'One line a lane.', _legend(lanes), *plots)


def _panels(lanes: Sequence[LaneResult]) -> Iterator[tuple[str, Panel]]:
    """The group of each plot, and the plot; of what is logged more than once."""
    for of_steps in (False, True):
        chosen = [
            [row for row in lane.rows if row['kind'] in (OF_STEPS if of_steps else ('evaluation',))]
            for lane in lanes
        ]
        names = dict.fromkeys(
            name for rows in chosen for row in rows for name in row if name not in PLACES
        )
        for name in names:
            curves = [series(rows, 'epoch', name) for rows in chosen]
            if max(len(curve.x) for curve in curves) < 2:
                continue
            lines = zip(lanes, curves, strict=True)
            words = wording(name, of_steps=of_steps)
            yield (
                words.group,
                Panel(
                    title=words.name,
                    lines=tuple(Line(lane.name, curve.x, curve.y) for lane, curve in lines),
                    x_label='epoch',
                    smooth=words.noisy,
                    from_zero=words.from_zero,
                    lanes=True,
                ),
            )


def _figure(panel: Panel) -> str:
    last = ', '.join(f'{line.name} {line.y[-1]:.4g}' for line in panel.lines if len(line.y))
    description = f'{panel.title} over {panel.x_label}, a line for each lane; at the end: {last}'
    plot = themed_image(partial(draw_panel, panel), to_svg, 'image/svg+xml', description)
    return f'<figure>\n<h4>{escape(panel.title)}</h4>\n{plot}</figure>\n'


def _legend(lanes: Sequence[LaneResult]) -> str:
    names = short_names(list(lanes[0].setting))
    items = ''.join(
        f'<li><svg width="28" height="10" aria-hidden="true"><line x1="0" y1="5" x2="28" y2="5" '
        f'stroke="{lane_color(number)}" stroke-width="3" '
        f'stroke-dasharray="{lane_dashes(number)}"/></svg> {escape(lane.name)}: '
        f'{escape(_values(names, lane))}</li>\n'
        for number, lane in enumerate(lanes)
    )
    return f'<ul class="names">\n{items}</ul>\n'


def _values(names: Sequence[str], lane: LaneResult) -> str:
    pairs = zip(names, lane.setting.values(), strict=True)
    return ', '.join(f'{name} {value}' for name, value in pairs)
