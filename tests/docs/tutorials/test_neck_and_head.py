"""The pages about a neck and a head: they say what their code says, and commands take them."""

import re
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest

from jssl.cli.experiments import settle
from jssl.cli.parser import Parser
from jssl.cli.train import add_arguments
from jssl.components import build_at
from jssl.config import TOP
from tests.algorithms.tiny_models import Flatten
from tests.docs.pages import blocks, commands, run_python
from tests.docs.tutorials.tiny import imported, written

NECK, HEAD = 'docs/tutorials/neck.md', 'docs/tutorials/head.md'


class Passing(nn.Module):
    """A neck that passes the features on."""

    def __call__(self, features: tuple[jax.Array], train: bool = True) -> jax.Array:
        return features[-1]


@pytest.mark.parametrize('page', [NECK, HEAD])
def test_the_code_says_what_the_page_says(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_python(page)
    said = re.findall(r'^print.*  # (.*)$', '\n'.join(blocks(page, 'python')), re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said


def models(page: str) -> list[Any]:
    """The algorithms that the commands of a page would train, in shapes."""
    made = []
    for _, *words in commands(page):
        parser = Parser('jssl train', None)
        add_arguments(parser)
        algorithm: Any = build_at('model', TOP['model'], settle(parser.read(words)).config['model'])
        views = tuple(jax.ShapeDtypeStruct((4, 24, 24, 3), 'float32') for _ in range(2))
        jax.eval_shape(algorithm.init, jax.random.key(0), {'views': views})
        made.append(algorithm)
    return made


def test_commands_take_the_neck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(NECK, tmp_path, monkeypatch)
    first, second, third = models(NECK)
    assert (first.neck.straight, second.neck.straight) == (0.5, 0.1)
    assert type(third.head.predictor).__name__ == 'ResidualNeck'
    assert third.head.predictor.out_channels == 256


def test_commands_take_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(HEAD, tmp_path, monkeypatch)
    first, second = models(HEAD)
    assert (first.head.prototypes, second.head.prototypes, second.head.epsilon) == (100, 300, 0.03)


def test_the_loss_of_swapped_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal views and prototypes that fit: each has a code of its own, and predicts that."""
    written(HEAD, tmp_path, monkeypatch)
    module = imported('my_head', tmp_path, monkeypatch)
    head = module.PrototypeHead(prototypes=4, temperature=0.5, epsilon=0.05)
    algorithm = module.SwappedCodes(Flatten(), Passing(), head)
    images = np.eye(4, dtype='float32').reshape(4, 2, 2, 1)
    params = {'head': {'prototypes': np.eye(4, dtype='float32')}}
    loss, (_, metrics) = algorithm.loss(params, {'batch_stats': {}}, {'views': (images, images)})
    code = np.exp(20) / (np.exp(20) + 3)
    expected = -code * np.log(np.exp(2) / (np.exp(2) + 3)) + (1 - code) * np.log(np.exp(2) + 3)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert metrics['prototypes_used'] == 4
