import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.algorithms.runs import begin, check_predictions, seen
from tests.algorithms.tiny_models import BATCH, Stem, tiny_relative_loc
from tests.checks import assert_trees_close, refused, widened

ALGORITHM = tiny_relative_loc()


@functools.cache
def taken() -> tuple[Any, Any, Any]:
    start = begin(ALGORITHM)
    views = seen(copies=9)
    return start, views, ALGORITHM.draw(jax.random.key(3), start.state, views)


def test_pairs_of_an_image_lie_side_by_side() -> None:
    _, views, batch = taken()
    centre, *neighbours = views['views']
    patches, centres = batch['views']
    np.testing.assert_array_equal(centres, centre)
    np.testing.assert_array_equal(patches[8 * 5 + 3], neighbours[3][5])
    np.testing.assert_array_equal(batch['target'][40:48], range(8))
    assert batch['dropout_keep'].shape == (8 * BATCH, 8)


@pytest.mark.parametrize('group', [None, 32])
def test_a_centre_that_passes_once_stands_for_its_eight_copies(group: int | None) -> None:
    start, _, batch = taken()
    algorithm = tiny_relative_loc(Stem(bn_group_size=group))
    run = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
    with jax.enable_x64(True):
        params, before, batch = widened((start.params, start.state, batch))
        copied = {**batch, 'views': (batch['views'][0], jnp.repeat(batch['views'][1], 8, axis=0))}
        (loss, (state, metrics)), grads = run(params, before, batch)
        (expected, (after, _)), wanted = run(params, before, copied)
    assert float(loss) == pytest.approx(float(expected), rel=1e-10)
    assert_trees_close(grads, wanted, atol=1e-10)
    # The unbiased variance knows how many there are: 1 in 1000 here.
    assert_trees_close(state, after, rtol=2e-3, atol=1e-6)
    assert 0 <= float(metrics['accuracy']) <= 1


def test_predictions_are_in_eval_mode_and_without_dropout() -> None:
    start, _, batch = taken()
    check_predictions(ALGORITHM, start, batch['views'], classes=8)
    patches, centres = batch['views']
    predict = jax.jit(ALGORITHM.predict)
    pairs = {'views': (patches[:BATCH], centres)}
    swapped = {'views': (centres, patches[:BATCH])}
    logits = [predict(start.params, start.state, given) for given in (pairs, swapped)]
    assert (logits[0] != logits[1]).any()


def test_what_cannot_be_is_refused() -> None:
    start, views, batch = taken()
    with refused('nine patches', 'got 4 views', "'Patches'"):
        ALGORITHM.draw(jax.random.key(0), start.state, {**views, 'views': views['views'][:4]})
    with refused('bn_group_size=4', 'a multiple of 8'):
        tiny_relative_loc(Stem(bn_group_size=4)).loss(start.params, start.state, batch)
