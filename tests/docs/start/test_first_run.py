"""The first run: the numbers that the page reads, and the files that it lists."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import read, run_python

PAGE = 'docs/start/first_run.md'


def test_the_scores_are_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    rows = run_python(PAGE, {'runs/first': 'runs/photos'})['rows']
    assert [0 <= row['knn'] <= 1 for row in rows if row['kind'] == 'evaluation'] == [True]


def test_every_file_is_in_the_directory_of_a_run(photos: Path) -> None:
    table = read(PAGE).partition('## The files')[2].partition('\n## ')[0]
    cells = re.findall(r'^\| (`.*`) \|', table, re.MULTILINE)
    patterns = [name.rstrip('/') for cell in cells for name in re.findall(r'`([^`]+)`', cell)]
    assert len(patterns) == 6
    for pattern in patterns:
        assert list((photos / 'runs' / 'photos').glob(pattern)), pattern


def test_every_part_of_the_report_is_explained(photos: Path) -> None:
    """With labels all parts are there; masked models have reconstructions beside these."""
    page = (photos / 'runs' / 'photos' / 'report.html').read_text(encoding='utf-8')
    parts = re.findall(r'<h2[^>]*>(.*?)</h2>', page)
    said = read(PAGE).partition('## The report')[2].partition('\n## ')[0]
    assert re.findall(r'^\*\*(.*?)\.\*\*', said, re.MULTILINE) == parts
