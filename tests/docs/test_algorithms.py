"""The pages of the algorithms: one shape, and tables that agree with configs and with states."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from jssl.cli.configs import load
from jssl.errors import JsslError
from tests.algorithms.test_contract import shapes
from tests.conftest import ROOT
from tests.docs.pages import read, tables

NAMES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))
HEADINGS = ['The idea', 'The equation', 'The parts', 'State and shapes', 'Recipes', 'Numbers']
HEADINGS += ['Run it', 'Pitfalls']
Row = tuple[str, ...]


def page(name: str) -> str:
    return read(f'docs/algorithms/{name}.md')


def section(name: str, heading: str) -> str:
    """What stands below a heading, up to the next of its rank."""
    return page(name).split(f'\n## {heading}\n')[1].split('\n## ')[0]


def rows(name: str, heading: str) -> list[Row]:
    """The rows of a section's first table, without its head."""
    found = tables(section(name, heading))
    return [tuple(row.values()) for row in found[0]] if found else []


@pytest.mark.parametrize('name', NAMES)
def test_every_page_has_one_shape(name: str) -> None:
    assert re.findall(r'^## (.*)$', page(name), flags=re.MULTILINE) == HEADINGS
    assert f'(../images/algorithms/{name}.svg)' in section(name, 'The idea')
    assert '\n    L = ' in section(name, 'The equation')
    assert f']({name}.md)' in page('index')


@pytest.mark.parametrize('name', NAMES)
def test_recipes_are_the_variants_of_the_config(name: str) -> None:
    found = re.findall(r'`:([\w-]+)`|\((none)\)', ' '.join(row[0] for row in rows(name, 'Recipes')))
    assert sorted(named or 'embedded' for named, _ in found) == variants(name)


def variants(name: str) -> list[str]:
    """The names that a config knows."""
    with pytest.raises(JsslError, match='Valid names') as error:
        load(f'{name}:none such')
    return sorted(str(error.value).split('Valid names: ')[1].rstrip('.').split(', '))


@pytest.mark.parametrize('name', NAMES)
def test_the_state_is_that_of_the_tiny_model(name: str) -> None:
    _, state = shapes(load(name)['model']['type'])
    table = {row[0].strip('`'): row[1:3] for row in rows(name, 'State and shapes')}
    found = dict(leaves(state))
    assert table.keys() == found.keys()
    for entry, (shape, dtype) in table.items():
        if found[entry] is not None:
            assert dtype == found[entry].dtype, entry
            assert len(re.findall(r"[\w']+", shape)) == found[entry].ndim, entry


def leaves(state: Mapping[str, Any], inside: str = '') -> Iterator[tuple[str, Any]]:
    """The arrays of a state by their path; None for the weights or statistics of a network."""
    for key, part in state.items():
        name = f'{inside}{key}'
        if key in ('params', 'batch_stats'):
            yield from [(name, None)] if part else []
        elif isinstance(part, Mapping):
            yield from leaves(part, f'{name}.')
        else:
            yield name, part
