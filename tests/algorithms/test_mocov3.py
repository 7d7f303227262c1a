import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jssl.algorithm import Run
from jssl.algorithms import MoCoV3
from jssl.heads import MoCoV3Head
from tests.algorithms import linear
from tests.algorithms.tiny_models import Flatten
from tests.algorithms.tiny_models import linear as matrix

PREDICTOR = matrix(linear.WIDTH, linear.WIDTH, with_avg_pool=False)
LABELS = np.arange(linear.IMAGES)


def bare(**head: Any) -> MoCoV3:
    """MoCo v3 whose three parts are a matrix or nothing, in a run of 20 steps."""
    neck = matrix(linear.PIXELS, linear.WIDTH)
    algorithm = MoCoV3(Flatten(), neck, MoCoV3Head(PREDICTOR, **head), base_momentum=0.9)
    return dataclasses.replace(algorithm, run=Run(samples=40, steps_per_epoch=4, epochs=5))


@pytest.mark.parametrize('temperature', [0.2, 1.0])
def test_the_loss_tells_every_target_from_those_of_the_batch(temperature: float) -> None:
    slow = 0.95 * linear.SLOW + 0.05 * linear.ONLINE
    predictions = [rows @ linear.PREDICTOR for rows in linear.projections(linear.ONLINE)]
    targets = linear.projections(slow)
    logits = [
        linear.unit(predictions[i]) @ linear.unit(targets[1 - i]).T / temperature for i in range(2)
    ]
    expected = 2 * temperature * sum(linear.cross_entropy(rows, LABELS) for rows in logits)
    with jax.enable_x64(True):
        run = bare(temperature=temperature, loss_weight=2 * temperature)
        state = {'teacher': linear.teacher(10)}
        loss, (after, metrics) = linear.loss(run, linear.params(predictor=True), state)
    assert float(loss) == pytest.approx(expected, rel=1e-9)
    kernel = after['teacher']['params']['neck']['fc0']['kernel']
    np.testing.assert_allclose(kernel, slow, rtol=1e-9)
    assert float(metrics['momentum']) == pytest.approx(0.95)
    assert float(metrics['accuracy']) == pytest.approx(np.mean(logits[0].argmax(axis=1) == LABELS))
