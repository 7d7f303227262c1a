import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.algorithms.runs import begin, check_predictions, seen
from tests.algorithms.tiny_models import BATCH, tiny_rotation_pred
from tests.checks import refused

ALGORITHM = tiny_rotation_pred()


@functools.cache
def taken() -> tuple[Any, Any, Any]:
    start = begin(ALGORITHM)
    views = seen(copies=4)
    return start, views, ALGORITHM.draw(jax.random.key(3), start.state, views)


def test_turns_of_an_image_lie_side_by_side() -> None:
    _, views, batch = taken()
    (images,) = batch['views']
    assert len(images) == 4 * BATCH
    for turn in range(4):
        np.testing.assert_array_equal(images[4 * 5 + turn], views['views'][turn][5])
    np.testing.assert_array_equal(batch['target'][:6], [0, 1, 2, 3, 0, 1])


def test_the_loss_is_the_cross_entropy_of_the_turns() -> None:
    start, _, batch = taken()
    loss, (_, metrics) = jax.jit(ALGORITHM.loss)(start.params, start.state, batch)
    variables = {'params': start.params, 'batch_stats': start.state['batch_stats']}
    logits, _ = ALGORITHM.network.apply(variables, batch['views'][0], mutable=['batch_stats'])
    each = -jax.nn.log_softmax(logits)[jnp.arange(4 * BATCH), batch['target']]
    assert float(loss) == pytest.approx(float(each.mean()), rel=1e-5)
    expected = np.mean(logits.argmax(1) == batch['target'])
    assert float(metrics['accuracy']) == pytest.approx(expected)


def test_predictions_are_in_eval_mode() -> None:
    start, _, batch = taken()
    check_predictions(ALGORITHM, start, batch['views'], classes=4)


def test_another_number_of_turns_is_refused() -> None:
    start, views, _ = taken()
    with refused('four turns', 'got 3 views', "'Rotations'"):
        ALGORITHM.draw(jax.random.key(0), start.state, {**views, 'views': views['views'][:3]})
