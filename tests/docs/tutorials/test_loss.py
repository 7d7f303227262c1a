"""The page about a loss: its values, its tests and its way into a config."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from jssl.cli.experiments import settle
from jssl.cli.parser import Parser
from jssl.cli.train import add_arguments
from jssl.components import build_at
from jssl.config import TOP
from tests.docs.pages import blocks, commands, run_python
from tests.docs.tutorials.tiny import imported, run_tests, written

PAGE = 'docs/tutorials/loss.md'


def test_the_code_says_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(PAGE, tmp_path, monkeypatch)
    monkeypatch.syspath_prepend(str(tmp_path))
    run_python(PAGE)
    said = re.findall(r'^print.*  # (.*)$', '\n'.join(blocks(PAGE, 'python')), re.MULTILINE)
    assert re.sub(' +', ' ', capsys.readouterr().out).splitlines() == said


def test_its_tests_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(PAGE, tmp_path, monkeypatch)
    assert run_tests(imported('test_my_losses', tmp_path, monkeypatch)) == 10


def test_a_config_takes_it_and_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both commands of the page, up to where a run begins."""
    written(PAGE, tmp_path, monkeypatch)
    found = []
    for verb, *words in commands(PAGE)[:2]:
        assert verb == 'train'
        parser = Parser('jssl train', None)
        add_arguments(parser)
        found.append(build_at('model', TOP['model'], settle(parser.read(words)).config['model']))
    assert [type(made).__name__ for made in found] == ['L1SimSiam'] * 2
    assert [made.criterion.loss_weight for made in found] == [1.0, 10.0]
    rows = jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 3.0]])
    assert [float(made.distance(*rows)) for made in found] == [1.0, 10.0]
