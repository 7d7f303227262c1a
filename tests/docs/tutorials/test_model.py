"""The page about the parts of a model: its table is what configs and classes say."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import pytest

import jssl.losses
from jssl import algorithms
from jssl.cli.configs import load, shipped
from tests.algorithms import runs
from tests.docs.pages import blocks, read, run_python

PAGE = 'docs/tutorials/model.md'
CONFIGS = [name for name in shipped() if '/' not in name]
# What of jssl.losses makes inputs of a loss, or numbers to look at.
HELPERS = {
    *('contrast_accuracy', 'pair_similarities', 'queue_similarities', 'batch_similarities'),
    *('explained_variance', 'centered_targets', 'sharpened_targets'),
}


def row(config: str) -> str:
    """The row of an algorithm: parts of its recipe for ImageNet, losses of its file, its state."""
    model = load(f'{config}:imagenet')['model']
    heads = dict.fromkeys(type_of(model, name) for name in ('head', 'patch_head'))
    cells = [
        f'[{model["type"]}](../algorithms/{config}.md)',
        type_of(model, 'backbone'),
        type_of(model, 'neck'),
        ', '.join(filter(None, heads)),
        ', '.join(losses(getattr(algorithms, model['type']))),
        ', '.join(memory(model['type'])),
        type_of(model, 'target_generator'),
    ]
    return f'| {" | ".join(cells)} |'.replace('|  ', '| ')


def type_of(model: Mapping[str, Any], part: str) -> str:
    found = model.get(part)
    return f'`{found["type"]}`' if found else ''


def losses(algorithm: type) -> list[str]:
    """The functions of jssl.losses that the files of an algorithm use, in their order.

    Used are those that a file imports, and those in a function that it has from another algorithm.
    """
    files = [base for base in algorithm.__mro__ if base.__module__.startswith('jssl.algorithms.')]
    used = [name for base in files for name in in_file(inspect.getmodule(base))]
    return [f'`{name}`' for name in dict.fromkeys(used) if name not in HELPERS]


def in_file(module: Any) -> Iterator[str]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        home = (isinstance(node, ast.ImportFrom) and node.module) or ''
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            found = getattr(module, alias.name)
            if home.startswith('jssl.losses'):
                yield alias.name
            elif home.startswith('jssl.algorithms') and inspect.isfunction(found):
                code = ast.walk(ast.parse(inspect.getsource(found)))
                yield from (
                    n.id for n in code if isinstance(n, ast.Name) and hasattr(jssl.losses, n.id)
                )


def memory(algorithm: str) -> list[str]:
    """What is in its state beside batch statistics."""
    made = runs.tiny(algorithm)
    batch = runs.seen(copies=runs.VIEWS.get(algorithm, 2))
    _, state = jax.eval_shape(made.init, jax.random.key(0), batch)
    return [f'`{name}`' for name in state if name != 'batch_stats']


ROWS = [line for line in read(PAGE).splitlines() if line.startswith('| [')]


@pytest.mark.parametrize('config', CONFIGS)
def test_the_row_of_an_algorithm_is_what_its_config_says(config: str) -> None:
    assert row(config) in ROWS


def test_no_row_is_of_anything_else() -> None:
    assert len(ROWS) == len(CONFIGS)


def test_the_code_runs_and_says_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    run_python(PAGE)
    assert capsys.readouterr().out == ''.join(blocks(PAGE, 'text')[:2])


def test_the_loss_it_shows_is_that_of_simclr() -> None:
    code = inspect.getsource(algorithms.SimCLR.loss)
    (shown,) = (block for block in blocks(PAGE, 'text') if block.startswith('def loss'))
    for line in shown.splitlines()[1:]:
        assert line.strip() in code
