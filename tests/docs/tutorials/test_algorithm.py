"""The page about a whole algorithm: its file trains, its tests hold, and NPID agrees with it."""

import inspect
import re
from pathlib import Path
from typing import Any

import jax
import pytest

from jssl.algorithms import NPID
from jssl.heads import ContrastiveHead
from jssl.memories import SimpleMemory
from jssl.runs.metrics import read_metrics
from tests.checks import assert_trees_close
from tests.docs.pages import blocks, read
from tests.docs.tutorials.tiny import imported, run_tests, train, written

PAGE = 'docs/tutorials/algorithm.md'


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's own fixture, beside its tests."""
    written(PAGE, tmp_path, monkeypatch)
    tests = imported('test_my_npid', tmp_path, monkeypatch)
    return tests, inspect.unwrap(tests.case)()


def test_its_tests_hold(case: Any) -> None:
    tests, found = case
    assert run_tests(tests, case=found) == 3


def test_it_computes_what_npid_computes(case: Any) -> None:
    _, found = case
    mine = found.algorithm
    theirs = NPID(
        *(mine.backbone, mine.neck, ContrastiveHead(mine.temperature)),
        SimpleMemory(feat_dim=mine.feat_dim, momentum=mine.momentum),
        neg_num=mine.negatives,
        run=mine.run,
    )
    batch = {**found.batch, 'neg_idx': found.batch['others']}
    with jax.enable_x64(True):
        results = [
            jax.value_and_grad(one.loss, has_aux=True)(found.params, found.state, batch)
            for one in (mine, theirs)
        ]
    assert_trees_close(*results, rtol=1e-10)


def test_the_line_of_the_slip_is_where_the_widths_meet() -> None:
    number = re.search(r'my_npid\.py, line (\d+)', read(PAGE))
    assert number is not None
    file = next(block for block in blocks(PAGE, 'python') if block.startswith('# my_npid.py'))
    assert 'jnp.einsum' in file.splitlines()[int(number[1]) - 1]


def test_its_config_trains(
    digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(PAGE, tmp_path, monkeypatch)
    small = {'model.backbone.base_channels': 4, 'model.neck.in_channels': 16}
    run = train('my_npid.py', digits_dir, small)
    rows = [row for row in read_metrics(run / 'metrics.jsonl') if row['kind'] == 'step']
    assert {'accuracy', 'remembered', 'feature_std'} <= rows[-1].keys()
