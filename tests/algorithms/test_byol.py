import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jssl.algorithm import Run
from jssl.algorithms import BYOL
from jssl.backbones import ResNet
from jssl.heads import LatentPredictHead
from jssl.necks import NonLinearNeck
from tests.algorithms import linear
from tests.algorithms.tiny_models import Flatten
from tests.algorithms.tiny_models import linear as matrix
from tests.checks import assert_drawn_like

PREDICTOR = matrix(linear.WIDTH, linear.WIDTH, with_avg_pool=False)


def bare(**fields: Any) -> BYOL:
    """BYOL whose three parts are a matrix or nothing, in a run of 20 steps."""
    head = LatentPredictHead(PREDICTOR)
    algorithm = BYOL(Flatten(), matrix(linear.PIXELS, linear.WIDTH), head, **fields)
    return dataclasses.replace(algorithm, run=Run(samples=40, steps_per_epoch=4, epochs=5))


@pytest.mark.parametrize(('updates', 'momentum'), [(0, 0.0), (10, 0.95)])
def test_the_loss_is_that_of_predictions_and_slow_targets(updates: int, momentum: float) -> None:
    slow = momentum * linear.SLOW + (1 - momentum) * linear.ONLINE
    predictions = [rows @ linear.PREDICTOR for rows in linear.projections(linear.ONLINE)]
    targets = linear.projections(slow)
    expected = -2 * (
        linear.cosine(predictions[0], targets[1]) + linear.cosine(predictions[1], targets[0])
    )
    with jax.enable_x64(True):
        state = {'teacher': linear.teacher(updates)}
        run = bare(base_momentum=0.9)
        loss, (after, metrics) = linear.loss(run, linear.params(predictor=True), state)
        swapped, _ = linear.loss(run, linear.params(predictor=True), state, swapped=True)
    assert float(loss) == pytest.approx(expected, rel=1e-9)
    assert float(swapped) == pytest.approx(expected, rel=1e-9)
    kernel = after['teacher']['params']['neck']['fc0']['kernel']
    np.testing.assert_allclose(kernel, slow, rtol=1e-9)
    assert int(after['teacher']['steps']) == updates + 1
    if updates:
        assert float(metrics['momentum']) == pytest.approx(momentum)


def test_the_default_is_the_paper_s_momentum_for_1000_epochs() -> None:
    found = []
    for updates in (0, 20):
        state = {'teacher': linear.teacher(updates)}
        _, (_, metrics) = linear.loss(bare(), linear.params(predictor=True), state)
        found.append(float(metrics['momentum']))
    assert found == [pytest.approx(0.996), 1]


def test_a_fresh_teacher_is_a_copy_of_fresh_weights_like_the_reference_s() -> None:
    biased: dict[str, Any] = {'with_bias': True, 'with_last_bn': False}
    head = LatentPredictHead(NonLinearNeck(128, 256, 128, with_avg_pool=False, **biased))
    algorithm = BYOL(ResNet(18), NonLinearNeck(512, 256, 128, **biased), head)
    images = np.zeros((2, 32, 32, 3), 'float32')
    params, state = jax.jit(algorithm.init)(jax.random.key(1), {'views': (images, images)})
    assert_drawn_like(params, 'byol')
    copy = state['teacher']['params']
    online = {part: params[part] for part in copy}
    same = jax.tree.map(lambda one, other: bool((one == other).all()), copy, online)
    assert all(jax.tree.leaves(same))
