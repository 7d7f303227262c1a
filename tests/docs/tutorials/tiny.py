"""What makes the code of the tutorials short: a few digits, a network of four channels."""

import importlib
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jssl.main import main
from tests import tiny
from tests.docs.pages import blocks


def digits(folder: str) -> dict[str, str]:
    """What takes the place of the splits of the digits: 256 of them to train on, 64 to test."""
    return {
        "'train')": f"'train[:256]', data_dir={folder!r})",
        "'test')": f"'test[:64]', data_dir={folder!r})",
    }


def files(page: str) -> dict[str, str]:
    """The files that a page has its reader write: blocks that begin with their names."""
    named = [block.partition('\n') for block in blocks(page, 'python')]
    return {
        first.removeprefix('# '): f'{rest}\n'
        for first, _, rest in named
        if first.startswith('# ') and first.endswith('.py')
    }


def written(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes the files of a page to a folder, and goes there; none was imported before."""
    for name, text in files(page).items():
        (folder / name).write_text(text, encoding='utf-8')
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
    monkeypatch.chdir(folder)


def train(config: str, digits_dir: str, more: Mapping[str, object] | None = None) -> Path:
    """`jssl train CONFIG` on a few digits; the directory of the run."""
    workdir = Path('run')
    given = tiny.arguments(digits_dir, workdir)
    kept = [word for word in given if not word.startswith(('--config=', '--config.model'))]
    fields = [f'--config.{key}={value}' for key, value in (more or {}).items()]
    assert main([f'--config={config}', *kept, *fields]) == 0
    return workdir


def run_tests(module: ModuleType, **fixtures: Any) -> int:
    """Calls the tests of a module that a page has its reader write; how many cases there were."""
    cases = 0
    for name, test in vars(module).items():
        if name.startswith('test_'):
            marks = [mark.args for mark in getattr(test, 'pytestmark', ())]
            names = [parameter for parameter, _ in marks]
            for chosen in itertools.product(*(values for _, values in marks)):
                test(**dict(zip(names, chosen, strict=True)), **fixtures)
                cases += 1
    return cases


def imported(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module among the files that `written` wrote."""
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(name)
