"""The figures of the algorithms: every page has one, and its boxes stand apart."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from experiments.diagrams import DIAGRAMS
from experiments.diagrams.boxes import Diagram
from experiments.figures import MEANING, WHERE, WIDTH, _extent, draw_figure, main, to_svg
from tests.conftest import ROOT

NAMES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))


def test_every_algorithm_has_a_figure() -> None:
    assert sorted(DIAGRAMS) == NAMES
    assert sorted(path.stem for path in (ROOT / WHERE).glob('*.svg')) == NAMES


@pytest.mark.parametrize('diagram', DIAGRAMS.values(), ids=DIAGRAMS)
def test_boxes_stand_apart_and_arrows_join_them(diagram: Diagram) -> None:
    for chain in diagram.arrows:
        assert set(chain.split()[::2]) <= diagram.boxes.keys()
        assert set(chain.split()[1::2]) <= MEANING.keys()
    extents = [_extent(box) for box in diagram.boxes.values()]
    assert all(left > -0.62 and right < WIDTH - 0.62 for left, _, right, _ in extents)
    for a, b in itertools.combinations(extents, 2):
        beside = a[2] < b[0] or b[2] < a[0]
        assert beside or a[3] < b[1] or b[3] < a[1]


@pytest.mark.parametrize('name', ['swav', 'ijepa'])
def test_texts_lie_in_their_boxes(name: str) -> None:
    diagram, picture = DIAGRAMS[name], np.zeros((4, 4, 3), 'uint8')
    views = {(box.view, box.shown): picture for box in diagram.boxes.values()}
    figure = draw_figure(diagram, views)
    assert to_svg(figure, name) == to_svg(figure, name)
    places = figure.axes[0].transData
    texts = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    for box in diagram.boxes.values():
        if box.kind != 'view':
            left, bottom, right, top = _extent(box)
            corners = places.transform([(left, bottom), (right, top)])
            found = texts[box.text]
            assert corners[0, 0] < found.x0 < found.x1 < corners[1, 0]
            assert corners[0, 1] < found.y0 < found.y1 < corners[1, 1]


def test_the_command_draws_views_of_the_config(tmp_path: Path) -> None:
    assert main(['--only', 'rotation_pred', f'--out={tmp_path}']) == 0
    svg = (tmp_path / 'rotation_pred.svg').read_text()
    assert svg.count('<image') == 4  # the four turns
