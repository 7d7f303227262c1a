"""The notebooks are their pages: the Python in cells, and all else as text between them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.docs.pages import blocks, read

NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.ipynb'))


def cells(path: Path, kind: str) -> list[str]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [''.join(cell['source']) for cell in found if cell['cell_type'] == kind]


def test_there_are_three_and_the_page_names_them() -> None:
    page = read('docs/tutorials/notebooks.md')
    linked = re.findall(r'\.\./notebooks/(\w+)\.ipynb', page)
    assert [path.stem for path in NOTEBOOKS] == sorted(linked)
    assert len(linked) == 3


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_its_page(path: Path) -> None:
    page = f'docs/tutorials/{path.stem}.md'
    assert cells(path, 'code') == [block.rstrip('\n') for block in blocks(page, 'python')]
    text = re.sub(r'^```python\n.*?^```\n', '', read(page), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r'\]\((\w+\.md)', r'](../tutorials/\1', text).replace('```bash\n', '```console\n')
    assert words(' '.join(cells(path, 'markdown'))) == words(text)


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_to_files(path: Path) -> None:
    for target in re.findall(r'\]\(([^)\s#]+)', ' '.join(cells(path, 'markdown'))):
        assert target.startswith('http') or (path.parent / target).exists(), target


def test_a_notebook_has_no_outputs() -> None:
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
            assert not cell.get('outputs')
