"""The pages of the docs, and what stands in their blocks of code."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

DOCS = ROOT / 'docs'
OUTSIDE = ('README.md', 'CONTRIBUTING.md', 'experiments/README.md')  # as seen from the root
PAGES = [*OUTSIDE, *sorted(str(page.relative_to(ROOT)) for page in DOCS.rglob('*.md'))]

ENGLISH = ('', 'start/', 'tutorials/')  # where the English pages of docs/zh are


def read(page: str) -> str:
    """The text of a page, such as ``docs/tutorials/loss.md``."""
    return (ROOT / page).read_text(encoding='utf-8')


def english(page: str) -> str:
    """The page that a page of docs/zh is the Chinese of; of any other page, itself."""
    if not page.startswith('docs/zh/'):
        return page
    name = page.removeprefix('docs/zh/')
    return next(f'docs/{at}{name}' for at in ENGLISH if (DOCS / at / name).exists())


def blocks(page: str, language: str) -> list[str]:
    """What stands in the fences of a language, in order."""
    return re.findall(rf'^```{language}\n(.*?)^```', read(page), flags=re.DOTALL | re.MULTILINE)


def tables(text: str) -> list[list[dict[str, str]]]:
    """The tables in a text, in order: for each its rows, the cells by the head of their column."""
    found = re.findall(r'^(\|.*)\n\|[-|: ]+\|\n((?:\|.*(?:\n|$))*)', text, flags=re.MULTILINE)
    return [
        [dict(zip(cells(head), cells(row), strict=True)) for row in rows.splitlines()]
        for head, rows in found
    ]


def cells(line: str) -> list[str]:
    """Those of a line of a table."""
    return [cell.strip() for cell in line.strip()[1:-1].split('|')]


def commands(page: str) -> list[list[str]]:
    """The words of every command of a page that is one of jssl, without `jssl` itself."""
    parts = [part for line in lines_of_shell(page) for part in _split(line)]
    return [part[1:] for part in parts if part[:1] == ['jssl']]


def lines_of_shell(page: str) -> list[list[str]]:
    """The words of every line of the shell on a page, without comments."""
    lines = '\n'.join(blocks(page, 'bash')).replace('\\\n', ' ').splitlines()
    return list(filter(None, (shlex.split(line, comments=True) for line in lines)))


def _split(words: list[str]) -> list[list[str]]:
    """The commands that `&&` joins."""
    ends = [i for i, word in enumerate(words) if word == '&&']
    starts = [0, *(end + 1 for end in ends)]
    return [words[a:b] for a, b in zip(starts, [*ends, len(words)], strict=True)]


def shorten(code: str, shorter: Mapping[str, str]) -> str:
    """The code with each text replaced; each has to be there, so that no replacement goes stale."""
    for long, short in shorter.items():
        assert long in code, long
        code = code.replace(long, short)
    return code


def run_python(page: str, shorter: Mapping[str, str] | None = None, **names: Any) -> dict[str, Any]:
    """Runs all Python blocks of a page in order, as one module, in the directory one is in.

    Args:
      page: such as ``docs/tutorials/loss.md``.
      shorter: texts of the code and what takes their place, such as ``'epochs=8': 'epochs=1'``.
      **names: what the code finds defined.

    Returns:
      The names that are defined then.
    """
    code = shorten('\n'.join(blocks(page, 'python')), shorter or {})
    module: dict[str, Any] = {'__name__': Path(page).stem, **names}
    exec(compile(code, page, 'exec', dont_inherit=True), module)
    return module
