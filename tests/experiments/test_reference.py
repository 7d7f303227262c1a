"""The pages that follow from the program are those that it would write now."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from experiments import reference
from jssl.cli import VERBS

PAGES = reference.pages()


@pytest.mark.parametrize('name', PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    page = (reference.REFERENCE / name).read_text(encoding='utf-8')
    assert page == PAGES[name], 'run `python -m experiments.reference`'


def test_every_verb_and_its_arguments_are_there() -> None:
    page = PAGES['commands.md']
    assert [f'## jssl {verb}\n' in page for verb in VERBS] == [True] * len(VERBS)
    assert '| `--size=28\\|56\\|112\\|224` |' in page


@pytest.mark.parametrize(
    ('settings', 'meaning'),
    [
        (dict(help='of the short side'), 'Of the short side.'),
        (dict(help='folder:/path, once a split'), 'folder:/path, once a split.'),
        (dict(help='threads', default=2), 'Threads. Default: `2`.'),
        (dict(help='of JPEG (default: 95)', default=95), 'Of JPEG (default: 95).'),
        (dict(help='a class', action='append', default=[]), 'A class.'),
    ],
)
def test_an_argument_has_its_default_once_and_values_as_they_are_typed(
    settings: dict[str, Any], meaning: str
) -> None:
    action = argparse.ArgumentParser().add_argument('--it', **settings)
    assert reference.meaning_of(action) == meaning


def test_no_page_of_the_api_is_left_over() -> None:
    there = {f'api/{page.name}' for page in (reference.REFERENCE / 'api').glob('*.md')}
    assert there == {name for name in PAGES if name.startswith('api/')}


def test_what_is_not_up_to_date_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, 'REFERENCE', tmp_path)
    monkeypatch.setattr(reference, 'pages', lambda: {'api/it.md': '# It\n'})
    assert reference.main(['--check']) == 1
    assert 'docs/reference/api/it.md is not up to date' in capsys.readouterr().out
    assert reference.main([]) == 0
    assert (tmp_path / 'api/it.md').read_text() == '# It\n'
    assert reference.main(['--check']) == 0
