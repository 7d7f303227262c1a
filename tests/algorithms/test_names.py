"""No other room of the package knows an algorithm by name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jssl
from jssl import algorithms

PACKAGE = Path(jssl.__file__).parent
NAMES = {name for name, value in vars(algorithms).items() if isinstance(value, type)}
FACES = ('__init__.py', 'algorithms/__init__.py')


def named(source: str) -> Iterator[str]:
    """Identifiers and texts in code; what prose says of a paper's method is free."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition('.')[2]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.rpartition(':')[2]


@pytest.mark.parametrize(
    ('source', 'found'),
    [
        ('from jssl.algorithms import MAE', True),
        ("if model['type'] == 'MAE': pass", True),
        ("TABLE = {'jssl.algorithms.mae:MAE': 1}", True),
        ('isinstance(algorithm, algorithms.MAE)', True),
        ("raise ValueError('MAE removes 0.75.')", False),
        ('"""As MAE has it."""', False),
    ],
)
def test_a_name_in_code_is_found(source: str, found: bool) -> None:
    assert (not NAMES.isdisjoint(named(source))) is found


def test_no_other_room_knows_an_algorithm_by_name() -> None:
    assert len(NAMES) > 17
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob('*.py')]
    rooms = [path for path in files if path.parts[0] != 'algorithms' and str(path) not in FACES]
    known = {str(path): NAMES & set(named((PACKAGE / path).read_text())) for path in rooms}
    assert {path: names for path, names in known.items() if names} == {}


def test_an_algorithm_knows_no_other_but_those_that_it_extends() -> None:
    """Its file holds its own class; another one's is imported to be a base."""
    for path in (PACKAGE / 'algorithms').glob('[!_]*.py'):
        tree = ast.parse(path.read_text())
        own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        bases = {
            base.id
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            for base in node.bases
            if isinstance(base, ast.Name)
        }
        assert NAMES & set(named(path.read_text())) <= own | bases, path.name
