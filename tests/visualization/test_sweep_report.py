"""The report of a sweep: its table, its names and its curves."""

import re
from pathlib import Path

import pytest

from jssl.visualization.sweep_report import write_sweep_report
from tests.visualization.test_lanes import lane

EVIL = '<b>&'


def test_the_page_holds_the_table_the_names_and_the_curves(tmp_path: Path) -> None:
    lanes = [lane(number) for number in range(12)]
    lanes.append(lane(12, over=EVIL, rows=lane(12).rows[:3]))
    said: list[str] = []
    path = write_sweep_report(
        tmp_path / 'report.html',
        title=f'SimCLR {EVIL}',
        lanes=lanes,
        commands={'Features': 'jssl embed runs/sweep/lane-11'},
        tell=said.append,
    )
    text = path.read_text()
    assert not said
    assert EVIL not in text
    assert 'jssl embed' in re.sub('<[^>]+>', '', text)
    assert text.count('<tr class="result">') == 1
    assert 'lane-12 stopped: &lt;b&gt;&amp;' in text
    assert text.count('<svg width="28"') == 13
    for title in ('loss', 'kNN', 'learning rate'):
        assert f'<h4>{title}</h4>' in text
    assert not re.findall(r'(?:src|href|srcset)="(?!data:)', text)


@pytest.mark.parametrize('rows', [[], lane(0).rows[:1]])
def test_a_page_without_curves_is_a_page(tmp_path: Path, rows: list[object]) -> None:
    path = write_sweep_report(
        tmp_path / 'report.html', title='x', lanes=[lane(0, rows=rows, scores={})], commands={}
    )
    assert '<h4>' not in path.read_text()
