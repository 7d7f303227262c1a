"""The examples of docstrings run, and every function of the packages that promise one has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import jssl.losses
from tests.conftest import ROOT

# By name, so that an example is found however its module is imported.
PLACES = (
    *(
        'augment.masks',
        'augment.ops',
        'data.sources.patterns',
        'inference',
        'losses',
        'memories',
        'networks',
        'optim',
    ),
    *('precision', 'runs.describe', 'cli.sweeps', 'training.lifting', 'visualization.lanes'),
    *('training.inspection', 'runs.keeping', 'runs.orders'),
)


def modules() -> list[str]:
    """The modules of those places."""
    found = []
    for name in (f'{jssl.__name__}.{place}' for place in PLACES):
        parts = pkgutil.iter_modules(getattr(importlib.import_module(name), '__path__', ()))
        found += [name, *(f'{name}.{part.name}' for part in parts)]
    return found


@pytest.mark.parametrize('name', modules())
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(
    ('place', 'least'),
    [
        *(('augment.ops', 35), ('memories', 20)),
        *(('optim.schedules', 1), ('optim.transformations', 10)),
    ],
)
def test_every_function_of_a_place_has_an_example(place: str, least: int) -> None:
    names = [name for name in modules() if name.startswith(f'jssl.{place}')]
    public = [
        part
        for name in names
        for key, part in vars(importlib.import_module(name)).items()
        if inspect.isfunction(part) and part.__module__ == name and not key.startswith('_')
    ]
    assert len(public) >= least
    assert not [part.__name__ for part in public if '>>> ' not in (inspect.getdoc(part) or '')]


def test_every_loss_has_an_example_and_a_place_in_the_list() -> None:
    losses = {name: part for name, part in vars(jssl.losses).items() if callable(part)}
    assert len(losses) > 20
    bare = [name for name, part in losses.items() if '>>> ' not in (inspect.getdoc(part) or '')]
    assert not bare
    page = (ROOT / 'docs' / 'reference/losses.md').read_text()
    assert not [name for name in losses if f'`{name}`' not in page]
