"""Imports point down: the table of docs/reference/design.md says who may import whom."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

LONGEST = 400  # lines of a file
LONGEST_FUNCTION = 60
HOUSE = ('jssl', 'configs', 'examples', 'experiments', 'tests')
NAMES = re.compile(r'`(\w+)`')
HEAVY = ('tensorflow_datasets', 'matplotlib', 'sklearn', 'orbax', 'tensorboardX', 'scipy.optimize')


@functools.cache
def modules() -> dict[str, Path]:
    """The file of every module of jssl."""
    files = sorted((ROOT / 'jssl').rglob('*.py'))
    names = {file: '.'.join(file.relative_to(ROOT).with_suffix('').parts) for file in files}
    return {name.removesuffix('.__init__'): file for file, name in names.items()}


def imported(file: Path) -> Iterator[str]:
    """The modules of ours that a file imports anywhere: in functions, for type checkers too."""
    for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split('.')[0] in HOUSE)
        elif isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] in HOUSE:
            parts = (f'{node.module}.{name.name}' for name in node.names)
            yield from (part if part in modules() else str(node.module) for part in parts)


def room(module: str) -> str:
    """The folder or file in jssl/ that a module is in, `__init__` of jssl itself."""
    house, *inside = module.split('.')
    return (inside or ['__init__'])[0] if house == 'jssl' else house


def allowed() -> dict[str, set[str]]:
    """What each room may import: itself, the table's first row and what its own row names."""
    lines = (ROOT / 'docs' / 'reference/design.md').read_text(encoding='utf-8').split('\n')
    first = next(number for number, line in enumerate(lines) if line.startswith('| room |'))
    rows = [line.split('|')[1:4] for line in lines[first + 2 : lines.index('', first)]]
    ground = set(NAMES.findall(rows[0][0]))
    table: dict[str, set[str]] = {}
    for rooms, _, others in rows:
        for name in NAMES.findall(rooms):
            assert name not in table, f'{name} is in two rows'
            table[name] = {name, *ground, *NAMES.findall(others)}
    return table


def test_rooms_import_what_the_map_says() -> None:
    table, edges = allowed(), {name: set(imported(file)) for name, file in modules().items()}
    assert table.keys() == {room(name) for name in modules()}  # no room is missing, none is gone
    wrong = [
        f'{name} imports {other}'
        for name, others in edges.items()
        for other in others
        if room(other) not in table[room(name)]
    ]
    assert not wrong
    tuple(graphlib.TopologicalSorter(edges).static_order())  # raises for a circle, and shows it


def test_the_map_has_no_circle_and_nothing_imports_the_commands() -> None:
    table = allowed()
    ground = set.intersection(*table.values())
    above = {name: others - ground - {name} for name, others in table.items() if name not in ground}
    tuple(graphlib.TopologicalSorter(above).static_order())
    users = {name for name, others in above.items() if others & {'main', 'cli'}}
    assert users <= {'main', '__main__'}


@pytest.mark.parametrize(
    ('module', 'without'),
    [
        ('jssl', ('jax', 'numpy', *HEAVY)),
        *((f'jssl.{name}', ('jax', *HEAVY)) for name in ('data', 'data.preparing.conversion')),
        *((f'jssl.{name}', HEAVY) for name in ('losses', 'memories', 'optim', 'optim.optimizers')),
        ('jssl.cli', ('jax', *HEAVY)),
    ],
)
def test_what_importing_loads(module: str, without: tuple[str, ...]) -> None:
    code = f'import sys, {module}; print(sorted({set(without)} & set(sys.modules)))'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'


def test_every_file_says_what_it_holds_and_can_be_read_in_one_sitting() -> None:
    texts = {file: file.read_text(encoding='utf-8') for file in modules().values()}
    assert not [file for file, text in texts.items() if not ast.get_docstring(ast.parse(text))]
    assert not [file for file, text in texts.items() if text.count('\n') > LONGEST]
    functions = [
        (file.name, node.name, 1 + (node.end_lineno or 0) - node.lineno)
        for file, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    ]
    assert not [found for found in functions if found[2] > LONGEST_FUNCTION]
