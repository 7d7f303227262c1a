"""The curves of docs/tutorials/indicators.md: what is trained, and how it is drawn."""

from typing import Any

import jax
import numpy as np
import pytest

from experiments import indicators
from jssl.algorithm import Algorithm
from jssl.algorithms import SimSiam
from jssl.cli.experiments import settle
from jssl.cli.parser import Parser
from jssl.cli.train import add_arguments
from jssl.heads import LatentPredictHead
from tests.algorithms import runs
from tests.algorithms.tiny_models import tiny_simsiam

ROWS = [
    {'kind': 'step', 'epoch': 0.5, 'loss': 2.0},
    {'kind': 'evaluation', 'epoch': 1.0, 'feature_std': 0.5, 'rankme': 7.0, 'linear': 0.25},
    {'kind': 'step', 'epoch': 1.5, 'loss': 1.0},
]


@pytest.mark.parametrize('method', indicators.CASES)
def test_every_case_is_a_config(method: str) -> None:
    names = [case.name for case in indicators.CASES[method]]
    assert names[0] == 'healthy'
    assert len(set(names)) == len(indicators.COLORS)
    for case in indicators.CASES[method]:
        parser = Parser('jssl train', None)
        add_arguments(parser)
        config = settle(parser.read([method, *case.settings, *indicators.SHORT])).config
        assert config['epochs'] == 8


def test_a_curve_is_of_the_rows_that_have_it() -> None:
    epochs, losses = indicators.values(ROWS, 'loss', 'step')
    assert (list(epochs), list(losses)) == ([0.5, 1.5], [2.0, 1.0])
    said = indicators.last(ROWS, 'simsiam')
    assert said.startswith('loss 1, feature_std of the features 0.5, rankme of the features 7,')


def test_a_picture_has_a_panel_each_and_a_line_for_each_run() -> None:
    figure = indicators.draw(dict.fromkeys(('healthy', 'a', 'b'), ROWS), 'simsiam')
    assert [axis.get_title() for axis in figure.axes] == [
        title for title, *_ in indicators.PANELS['simsiam']
    ]
    assert {len(axis.lines) for axis in figure.axes} == {3}


def graded(algorithm: Algorithm) -> Any:
    return jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))


def test_without_stop_gradient_the_loss_is_that_and_the_targets_are_trained() -> None:
    whole = tiny_simsiam()
    assert isinstance(whole, SimSiam)
    assert isinstance(whole.head, LatentPredictHead)
    broken = indicators.NoStopGradient(whole.backbone, whole.neck, whole.head)
    batch = runs.seen()
    params, state = jax.jit(whole.init)(jax.random.key(0), batch)
    (one, _), first = graded(whole)(params, state, batch)
    (other, _), second = graded(broken)(params, state, batch)
    np.testing.assert_allclose(one, other, rtol=1e-6)
    size = [
        sum(float(abs(leaf).sum()) for leaf in jax.tree.leaves(grads)) for grads in (first, second)
    ]
    assert size[0] != pytest.approx(size[1], rel=0.01)
