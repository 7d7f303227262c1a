"""The Chinese pages: the code, the commands and the numbers of the English ones."""

import ast
import re

import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES, blocks, english, lines_of_shell, read

CHINESE = [page for page in PAGES if page.startswith('docs/zh/')]
TRANSLATED = [page for page in CHINESE if page != 'docs/zh/index.md']  # that lists other pages
ENGLISH_ONLY = {'own_images', 'many_devices', 'index', 'notebooks'}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
NUMBER = r'\d+[.,]\d+'


@pytest.mark.parametrize('page', CHINESE)
def test_the_code_is_that_of_the_english_page(page: str) -> None:
    """Comments and docstrings may be Chinese."""
    code, same = ([dump(block) for block in blocks(p, 'python')] for p in (page, english(page)))
    assert code == same


def dump(code: str) -> str:
    """The syntax tree of a block without its docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


@pytest.mark.parametrize('page', CHINESE)
def test_the_commands_are_those_of_the_english_page(page: str) -> None:
    assert lines_of_shell(page) == lines_of_shell(english(page))


@pytest.mark.parametrize('page', CHINESE)
def test_what_is_printed_has_the_numbers_of_the_english_page(page: str) -> None:
    found, same = (re.findall(NUMBER, ''.join(blocks(p, 'text'))) for p in (page, english(page)))
    assert found == same


@pytest.mark.parametrize('page', TRANSLATED)
def test_headings_rows_and_numbers_are_those_of_the_english_page(page: str) -> None:
    """What a change of the English page adds, drops or measures anew is seen here."""
    for part in (r'^##+ ', r'^\|', r'^\| \[.*', r'!\[', NUMBER):
        found, same = (sorted(re.findall(part, read(p), re.M)) for p in (page, english(page)))
        assert found == same


def test_every_page_of_the_start_and_of_the_tutorials_is_there() -> None:
    nav = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    names = re.findall(r'(?:start|tutorials)/(\w+)\.md', nav)
    assert {f'docs/zh/{name}.md' for name in names if name not in ENGLISH_ONLY} <= set(CHINESE)


@pytest.mark.parametrize('page', CHINESE)
def test_the_english_page_is_linked_to_at_the_top(page: str) -> None:
    assert f'](../{english(page).removeprefix("docs/")})' in read(page).splitlines()[2]
