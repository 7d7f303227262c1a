import io
import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from jssl.visualization.figures import (
    CLASS_COLORS,
    DARK,
    LIGHT,
    MOST_POINTS,
    Line,
    Panel,
    Theme,
    draw_map,
    draw_panel,
    drawn_name,
    frequent_classes,
    running_mean,
    thin,
    to_png,
    to_svg,
)
from jssl.visualization.names import shorten


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(color: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)
        ]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def curve(name: str = 'kNN', points: int = 30) -> Line:
    return Line(name, np.arange(points, dtype=float), np.linspace(0.1, 0.8, points))


@pytest.mark.parametrize('theme', [LIGHT, DARK])
def test_text_and_lines_are_readable(theme: Theme) -> None:
    assert contrast(theme.ink, theme.page) > 7
    for color in (theme.faint, *theme.lines):
        assert contrast(color, theme.page) > 3.5


def test_panel_shows_values_references_and_names() -> None:
    lines = (curve('kNN'), curve('linear probe'))
    panel = Panel('Accuracy', lines, 'epoch', references={'raw pixels': 0.53})
    axes = draw_panel(panel, LIGHT).axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(drawn['kNN'].get_ydata(), lines[0].y)
    assert drawn['kNN'].get_linestyle() != drawn['linear probe'].get_linestyle()
    legend: Any = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ['kNN', 'linear probe']
    assert [text.get_text() for text in axes.texts] == ['raw pixels']
    assert axes.get_xlabel() == 'epoch'


def test_panel_takes_the_colours_of_the_page() -> None:
    colors = {to_hex(draw_panel(Panel('x', (curve(),), 'step'), t).axes[0].lines[0].get_color())
              for t in (LIGHT, DARK)}  # fmt: skip
    assert colors == {LIGHT.lines[0], DARK.lines[0]}


def test_smooth_panel_adds_the_running_mean() -> None:
    panel = Panel('Loss', (curve('loss', 100),), 'step', smooth=True, from_zero=True)
    axes = draw_panel(panel, LIGHT).axes[0]
    assert len(axes.lines) == 2
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize('points', [1, 2, 5000])
def test_any_number_of_points_can_be_drawn(points: int) -> None:
    panel = Panel('Loss', (curve('loss', points),), 'step', smooth=True)
    assert b'<svg' in to_svg(draw_panel(panel, DARK))


def test_thin_keeps_the_ends() -> None:
    values = np.arange(12345)
    thinned = thin(values)
    assert len(thinned) == MOST_POINTS
    assert (thinned[0], thinned[-1]) == (0, 12344)
    np.testing.assert_array_equal(thin(values[:50]), values[:50])


@pytest.mark.parametrize('window', [1, 2, 5, 9])
def test_running_mean_matches_a_loop(window: int) -> None:
    values = np.random.default_rng(0).normal(size=20)
    half = window // 2
    expected = [values[max(0, i - half) : i + half + 1].mean() for i in range(20)]
    np.testing.assert_allclose(running_mean(values, window), expected)


def test_map_names_each_class_once() -> None:
    points = np.random.default_rng(0).normal(size=(90, 2))
    labels = np.arange(90) % 3
    axes = draw_map(points, LIGHT, labels, names=['cat', 'dog', 'cost in $']).axes[0]
    assert [text.get_text() for text in axes.texts] == ['cat', 'dog', 'cost in $']
    groups = [np.asarray(group.get_offsets()) for group in axes.collections]
    drawn = [group for group in groups if len(group)]
    for label, offsets in enumerate(drawn):
        np.testing.assert_allclose(offsets, points[labels == label])


def test_map_of_many_classes_names_the_largest() -> None:
    labels = np.repeat(np.arange(12), [5, 1, 5, 5, 5, 5, 5, 5, 2, 5, 5, 5])
    assert frequent_classes(labels) == [0, 2, 3, 4, 5, 6, 7, 9, 10, 11]
    axes = draw_map(np.zeros((len(labels), 2)), LIGHT, labels).axes[0]
    assert len(axes.texts) == len(CLASS_COLORS)
    assert len(np.asarray(axes.collections[0].get_offsets())) == 3, 'the others are one grey group'


def test_map_without_labels() -> None:
    figure = draw_map(np.random.default_rng(0).normal(size=(9, 2)), DARK)
    assert not figure.axes[0].texts
    assert len(np.asarray(figure.axes[0].collections[0].get_offsets())) == 9
    image = np.asarray(Image.open(io.BytesIO(to_png(figure, dpi=30))))
    assert image[0, 0, 3] == 0, 'the ground is transparent'
    assert image[..., 3].any()


def test_long_names_are_shortened() -> None:
    assert shorten('tench', 18) == 'tench'
    assert shorten('great white shark, white shark', 18) == 'great white shark…'


NAMES = ['_ant', 'cost in $ and $', '猫', 'bell\x07', 'caf\udce9', 'שלום', 'naïve', 'x' * 50]
DRAWN = ['_ant', 'cost in $ and $', '#2', r'bell\x07', r'caf\udce9', '#5', 'naïve', 'x' * 17 + '…']


def test_map_shows_every_name_or_a_number() -> None:
    labels = np.arange(80) % 8
    points = np.random.default_rng(0).normal(size=(80, 2))
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # matplotlib's about glyphs and labels
        figure = draw_map(points, LIGHT, labels, names=NAMES)
        to_png(figure, dpi=20)
        to_svg(figure)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == DRAWN


@pytest.mark.parametrize('names', [None, [], ['a']])
def test_classes_without_a_name_show_their_number(names: list[str] | None) -> None:
    assert [drawn_name(label, names) for label in (-1, 3)] == ['-1', '3']
