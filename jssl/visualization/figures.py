"""Plots: curves of a run and a map of its features, each drawn for a light and for a dark page."""

import dataclasses
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jssl.visualization.names import can_be_drawn, class_name, printable, shorten

# Petroff 2021, "Accessible color sequences for data visualization": ten colours that stay apart
# under the common colour-vision deficiencies, and stand out from white and from black.
CLASS_COLORS = (
    *('#3f90da', '#ffa90e', '#bd1f01', '#94a4a2', '#832db6'),
    *('#a96b59', '#e76300', '#b9ac70', '#717581', '#92dadd'),
)
CLASS_MARKERS = 'os^Dv<>pPX'
MARKER_LETTERS = '●■▲◆▼◀▶⬟✚✖'  # the same, in a text
LINE_STYLES = ('-', '--')
LANE_DASHES = ((), (6, 3), (2, 2), (6, 2, 2, 2))  # ink and gap; of ten lanes each
LINE_MARKERS = 'os'
LONGEST_NAME = 18  # characters of a name in a map
MOST_POINTS = 600  # of a curve: about as many as a panel has pixels


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours of a page: text, secondary text, grid lines, background, and two lines."""

    ink: str
    faint: str
    grid: str
    page: str
    lines: tuple[str, str]


LIGHT = Theme('#1f2328', '#626a73', '#e4e7eb', '#ffffff', ('#0072b2', '#d55e00'))
DARK = Theme('#e6e8eb', '#9da5ae', '#343a41', '#16191d', ('#56b4e9', '#f0a43a'))


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve: `y` (N,) over `x` (N,)."""

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
      title: what is shown; the page sets it above the plot.
      lines: one or two curves; of the lanes of a sweep any number.
      x_label: what runs from left to right.
      references: heights worth comparing with, by name.
      smooth: draw the values faintly and their running mean over them.
      from_zero: start the vertical axis at 0.
      lanes: each curve has the colour of its lane, and the page names them.
    """

    title: str
    lines: tuple[Line, ...]
    x_label: str
    references: Mapping[str, float] = dataclasses.field(default_factory=dict)
    smooth: bool = False
    from_zero: bool = False
    lanes: bool = False


def draw_panel(panel: Panel, theme: Theme) -> Figure:
    """The curves of one panel."""
    figure = Figure(figsize=(4.6, 2.5), layout='constrained')
    axes = figure.add_subplot()
    _dress(axes, theme)
    draw = _draw_lane if panel.lanes else _draw_line
    lines = [draw(axes, line, index, theme, panel.smooth) for index, line in enumerate(panel.lines)]
    for name, height in panel.references.items():
        _draw_reference(axes, name, height, theme)
    axes.set_xlabel(panel.x_label, color=theme.faint, fontsize=9)
    if panel.from_zero:
        axes.set_ylim(bottom=0)
    if len(panel.lines) > 1 and not panel.lanes:
        names = [line.name for line in panel.lines]
        _legend(axes, theme, lines, names)
    return figure


def _draw_line(axes: Axes, line: Line, index: int, theme: Theme, smooth: bool) -> Artist:
    x, y = thin(line.x), thin(line.y)
    color, style = theme.lines[index], LINE_STYLES[index]
    smooth = smooth and len(y) > 20
    mark = LINE_MARKERS[index] if len(y) <= 40 and not smooth else ''
    alpha = 0.35 if smooth else 1
    (drawn,) = axes.plot(
        x, y, style + mark, markersize=3.5, color=color, alpha=alpha, label=line.name
    )
    if smooth:
        axes.plot(x, running_mean(y, len(y) // 20), style, color=color)
    return drawn


def _draw_lane(axes: Axes, line: Line, index: int, theme: Theme, smooth: bool) -> Artist:
    """One of many curves: its running mean alone where it is noisy."""
    del theme
    x, y = thin(line.x), thin(line.y)
    y = running_mean(y, len(y) // 20) if smooth and len(y) > 20 else y
    (drawn,) = axes.plot(x, y, color=lane_color(index), linewidth=1.3, label=line.name)
    if dashes := LANE_DASHES[index // len(CLASS_COLORS) % len(LANE_DASHES)]:
        drawn.set_dashes(dashes)
    return drawn


def lane_color(index: int) -> str:
    """The colour of a lane of a sweep."""
    return CLASS_COLORS[index % len(CLASS_COLORS)]


def lane_dashes(index: int) -> str:
    """How its line is broken, for SVG; ``'none'`` for a whole one."""
    dashes = LANE_DASHES[index // len(CLASS_COLORS) % len(LANE_DASHES)]
    return ' '.join(str(2 * length) for length in dashes) or 'none'


def _draw_reference(axes: Axes, name: str, height: float, theme: Theme) -> None:
    axes.axhline(height, color=theme.faint, linestyle=':', linewidth=1)
    axes.text(
        0.99,
        height,
        name,
        transform=axes.get_yaxis_transform(),  # x in axes fractions, y in data
        ha='right',
        va='bottom',
        fontsize=8,
        color=theme.faint,
        path_effects=[_halo(theme)],
    )


def _halo(theme: Theme) -> patheffects.AbstractPathEffect:
    """Keeps text readable where it crosses points or lines."""
    return patheffects.withStroke(linewidth=3, foreground=theme.page)


def thin(values: np.ndarray) -> np.ndarray:
    """At most `MOST_POINTS` of `values`, evenly spaced, with the first and the last."""
    if len(values) <= MOST_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, MOST_POINTS).astype(int)]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over about `window` values around each; over fewer at the ends."""
    ones = np.ones(2 * (window // 2) + 1)
    total = np.convolve(values, ones)
    count = np.convolve(np.ones(len(values)), ones)
    middle = slice(window // 2, window // 2 + len(values))
    return total[middle] / count[middle]


def draw_map(
    points: np.ndarray,
    theme: Theme,
    labels: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """A scatter plot in which each class has a colour, a marker and its name at its middle.

    Args:
      points: (N, 2), such as `jssl.visualization.embedding.project` gives.
      theme: of the page.
      labels: (N,) class indices. The ten most frequent classes are told apart, others are grey.
      names: of the classes; by default their numbers. See `drawn_name` for what is drawn.
    """
    figure = Figure(figsize=(6.4, 4.6), layout='constrained')
    axes = figure.add_subplot()
    axes.set_axis_off()
    shown = [] if labels is None else frequent_classes(labels)
    rest = np.ones(len(points), bool) if labels is None else ~np.isin(labels, shown)
    color = theme.lines[0] if labels is None else theme.faint
    axes.scatter(points[rest, 0], points[rest, 1], s=14, color=color, alpha=0.6, linewidths=0)
    drawn = [drawn_name(label, names) for label in shown]
    for index, (label, name) in enumerate(zip(shown, drawn, strict=True)):
        _draw_class(axes, points[labels == label], index, name, theme)
    return figure


def frequent_classes(labels: np.ndarray) -> list[int]:
    """The at most ten most frequent classes, in ascending order."""
    classes, counts = np.unique(labels, return_counts=True)
    chosen = classes[np.argsort(-counts, kind='stable')[: len(CLASS_COLORS)]]
    return sorted(chosen.tolist())


def drawn_name(label: int, names: Sequence[str] | None) -> str:
    """A class in a map: its name, or its number after # where no font here can draw the name."""
    name = shorten(printable(class_name(label, names)), LONGEST_NAME)
    return name if can_be_drawn(name) else f'#{label}'


def _draw_class(axes: Axes, points: np.ndarray, index: int, name: str, theme: Theme) -> None:
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=18,
        color=CLASS_COLORS[index],
        marker=CLASS_MARKERS[index],
        alpha=0.8,
        linewidths=0,
    )
    # The point nearest to the median lies in the class even where the class is in two parts.
    middle = points[np.argmin(np.abs(points - np.median(points, axis=0)).sum(axis=1))]
    axes.text(
        middle[0],
        middle[1],
        name,
        color=theme.ink,
        fontsize=12 if len(name) <= 3 else 9,
        weight='bold',
        ha='center',
        va='center',
        clip_on=False,
        parse_math=False,
        path_effects=[_halo(theme)],
    )


def _dress(axes: Axes, theme: Theme) -> None:
    axes.tick_params(colors=theme.faint, labelsize=9, length=0)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    for side, spine in axes.spines.items():
        spine.set_visible(side == 'bottom')
        spine.set_color(theme.faint)


def _legend(
    axes: Axes,
    theme: Theme,
    drawn: Sequence[Artist],
    names: Sequence[str],
) -> None:
    """The names of curves, above the axes."""
    legend = axes.legend(
        drawn,
        [str(number) for number in range(len(drawn))],  # matplotlib leaves out names such as _a
        loc='lower left',
        bbox_to_anchor=(0, 1),
        ncols=len(drawn),
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
        borderaxespad=0.2,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG on a transparent ground, text as outlines: no font can be missing."""
    return _saved(figure, format='svg', metadata={'Date': None})


def to_png(figure: Figure, dpi: int = 170) -> bytes:
    """The figure as PNG on a transparent ground."""
    return _saved(figure, format='png', dpi=dpi)


def _saved(figure: Figure, **options: Any) -> bytes:
    """The bytes of a figure; what Matplotlib says of its layout is nothing to a run's reader."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        figure.savefig(stream, transparent=True, **options)
    return stream.getvalue()
