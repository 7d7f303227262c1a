"""What holds for every page: lines, languages, links, commands that jssl takes, code that runs."""

import importlib
import keyword
import re
from pathlib import Path

import pytest

from jssl.cli import VERBS
from jssl.cli.experiments import settle
from jssl.cli.parser import Parser
from tests.conftest import ROOT
from tests.docs.pages import DOCS, PAGES, blocks, commands, english, read

LANGUAGES = {'python', 'bash', 'text', 'yaml', 'json', 'console', 'toml'}
LONGEST = 100
READ_THROUGH = ('docs/start/', 'docs/tutorials/', 'docs/guides/')


@pytest.mark.parametrize('page', PAGES)
def test_lines_are_short(page: str) -> None:
    """A row of a table and a lone link have no other line to go to."""
    lines = enumerate(read(page).splitlines(), start=1)
    long = [n for n, line in lines if len(line) > LONGEST and not _whole(line)]
    assert not long, f'lines of more than {LONGEST} characters: {long}'


def _whole(line: str) -> bool:
    return (
        line.lstrip().startswith('|')
        or re.fullmatch(r'\s*(- )?!?\[[^\]]*\]\(\S+\)[.,;]?', line) is not None
    )


@pytest.mark.parametrize('page', PAGES)
def test_every_block_says_its_language(page: str) -> None:
    fences = re.findall(r'^ *```(.*)$', read(page), flags=re.MULTILINE)
    assert len(fences) % 2 == 0
    assert set(fences[::2]) <= LANGUAGES, set(fences[::2]) - LANGUAGES


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    text = re.sub(r'^```.*?^```', '', read(page), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if re.match(r'https?:|mailto:', target):
            continue
        path, _, heading = target.partition('#')
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if heading and file.suffix == '.md':
            assert heading in anchors(file), target


def anchors(file: Path) -> set[str]:
    """The names under which headings of a page are linked to, on a forge and on the site alike."""
    titles = re.findall(r'^#+ (.*)$', file.read_text(encoding='utf-8'), flags=re.MULTILINE)
    plain = [re.sub(r'[^\w\s-]', '', title).strip().lower() for title in titles]
    return {re.sub(r'\s', '-', title) for title in plain}


WITH_CODE = [page for page in PAGES if blocks(page, 'python')]


@pytest.mark.parametrize('page', WITH_CODE)
def test_a_test_runs_the_code_of_every_page(page: str) -> None:
    """Each page with code is named by a test, which runs it: see `tests.docs.pages.run_python`.

    A Chinese page has the code of its English page, by `test_chinese.py`, and so its test.
    """
    tests = [file.read_text(encoding='utf-8') for file in (ROOT / 'tests').rglob('test_*.py')]
    name = english(page).removeprefix('docs/')
    assert any(f"'{name}'" in text or f"'docs/{name}'" in text for text in tests)


WITH_COMMANDS = [page for page in PAGES if commands(page)]
DATA = ('--data=', '--test_data=', '--probe_data=', '--size=', '--config.pretrained=')


@pytest.mark.parametrize('page', WITH_COMMANDS)
def test_jssl_takes_every_command(page: str) -> None:
    """Verb and options are there, and so are config, variant and fields."""
    for verb, *words in commands(page):
        if verb.startswith('-') or {'-h', '--help'} & set(words):
            continue
        parser = _parser(verb)
        parser.read(words)  # raises for an argument that there is not
        if parser.takes_config and not _made_before(words):
            settle(parser.read([word for word in words if not word.startswith(DATA)]))


def _parser(verb: str) -> Parser:
    assert verb in VERBS
    module = importlib.import_module(f'jssl.cli.{verb}{"_" * keyword.iskeyword(verb)}')
    parser = Parser(f'jssl {verb}', module.__doc__)
    module.add_arguments(parser)
    return parser


def _made_before(words: list[str]) -> bool:
    """Whether the config, or a part of it, is a file that the reader of the page has made."""
    return any(re.search(r'\.py\b|my_\w+:', word) for word in words)


def test_every_page_is_on_the_site() -> None:
    nav = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    for page in DOCS.rglob('*.md'):
        assert f'{page.relative_to(DOCS)}' in nav, page


MOST_WORDS = 40
FOR_READING = sorted(page for page in PAGES if page.startswith(READ_THROUGH))


@pytest.mark.parametrize('page', FOR_READING)
def test_sentences_are_short(page: str) -> None:
    """Outside tables, headings and code; what is code in a line counts as a word."""
    long = [said for said in sentences(page) if len(said.split()) > MOST_WORDS]
    assert not long, f'sentences of more than {MOST_WORDS} words: {long}'


def sentences(page: str) -> list[str]:
    """Those of the paragraphs and of the items of lists, without addresses of links."""
    text = re.sub(r'^ *```.*?^ *```$', '', read(page), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r'^(#|\||    ).*$', '', text, flags=re.MULTILINE)
    text = re.sub(r'`[^`]*`', 'code', re.sub(r'\]\([^)]*\)', ']', text))
    parts = re.split(r'\n\s*\n|\n\s*(?:[-*]|\d+\.) ', text)
    return [said for part in parts for said in re.split(r'(?<=[.!?:])\W*\s', part)]
