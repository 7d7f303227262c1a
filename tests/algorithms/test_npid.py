import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.interop.mmselfsup import export_state, import_state
from jssl.layers.normalize import l2_normalize
from tests.algorithms.runs import RUN, begin, seen
from tests.algorithms.tiny_models import BATCH, IMAGES, Stem, tiny_npid
from tests.checks import refused

NPID = tiny_npid(neg_num=9, run=RUN)


@functools.cache
def taken() -> tuple[Any, Any, Any]:
    """The state before a step, the batch, and everything that the loss gives."""
    start = begin(NPID)
    batch = NPID.draw(jax.random.key(3), start.state, seen(copies=1))
    return start, batch, jax.jit(NPID.loss)(start.params, start.state, batch)


def test_the_loss_is_a_softmax_over_the_own_row_and_drawn_ones() -> None:
    start, batch, (loss, (after, metrics)) = taken()
    assert start.state['bank'].shape == (64, 8)
    assert batch['neg_idx'].shape == (BATCH, 9)
    assert batch['neg_idx'].max() < IMAGES
    variables = {'params': start.params, 'batch_stats': start.state['batch_stats']}
    projections, _ = NPID.encoder.apply(variables, batch['views'][0], mutable=['batch_stats'])
    features = np.asarray(l2_normalize(projections), 'float64')
    rows = np.concatenate([batch['index'][:, None], batch['neg_idx']], axis=1)
    logits = np.einsum('bd,bmd->bm', features, np.asarray(start.state['bank'])[rows]) / 0.5
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[:, 0])
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    accuracy = np.mean(logits[:, 0] > logits[:, 1:].max(1))
    assert float(metrics['accuracy']) == pytest.approx(accuracy)
    assert float(metrics['remembered']) == pytest.approx(logits[:, 0].mean() / 2, abs=1e-6)
    moved = l2_normalize(0.5 * start.state['bank'][batch['index']] + 0.5 * features)
    np.testing.assert_allclose(after['bank'][batch['index']], moved, atol=1e-5)
    others = np.setdiff1d(np.arange(64), batch['index'])
    np.testing.assert_array_equal(after['bank'][others], start.state['bank'][others])


def test_an_image_is_its_own_negative_only_without_ensure_neg() -> None:
    start, batch, _ = taken()
    many = dataclasses.replace(NPID, neg_num=500)
    sure = dataclasses.replace(many, ensure_neg=True)
    for algorithm, own in ((many, True), (sure, False)):
        drawn = algorithm.draw(jax.random.key(0), start.state, batch)['neg_idx']
        assert bool((drawn == batch['index'][:, None]).any()) is own


def test_weights_of_negatives_are_in_the_state() -> None:
    weights = [0.0] * 40 + [1.0] * 8
    algorithm = tiny_npid(memory_bank={'weights': weights}, ensure_neg=True, run=RUN)
    state = begin(algorithm).state
    drawn = algorithm.draw(jax.random.key(0), state, seen(copies=1))['neg_idx']
    assert state['multinomial'].keys() == {'prob', 'alias'}
    assert drawn.min() >= 40


def test_the_bank_is_exported_and_imported_without_its_unused_rows() -> None:
    start, _, _ = taken()
    weights = export_state(start.params, start.state, algorithm=NPID)
    assert weights['memory_bank.feature_bank'].shape == (IMAGES, 8)
    again = {'memory_bank.multinomial.prob': np.ones(IMAGES)}  # uniform, as the reference saves it
    params, state = import_state(weights | again, start.params, start.state, algorithm=NPID)
    np.testing.assert_array_equal(state['bank'][:IMAGES], start.state['bank'][:IMAGES])
    np.testing.assert_array_equal(
        params['neck']['fc']['kernel'], start.params['neck']['fc']['kernel']
    )


def test_bfloat16_compute_leaves_loss_and_bank_in_float32() -> None:
    algorithm = tiny_npid(Stem(dtype=jnp.bfloat16), run=RUN)
    start, batch, _ = taken()
    batch = algorithm.draw(jax.random.key(3), start.state, batch)
    loss, (state, _) = jax.eval_shape(algorithm.loss, start.params, start.state, batch)
    assert loss.dtype == state['bank'].dtype == 'float32'


def test_what_cannot_be_is_refused() -> None:
    start, batch, _ = taken()
    with refused('NPID needs one view', 'got 2', 'copies=1'):
        NPID.loss(start.params, start.state, {**batch, 'views': batch['views'] * 2})
    with refused('NPID.neg_num=0', 'at least 1'):
        tiny_npid(neg_num=0)
    with refused('ensure_neg=True', 'sample 0'):
        tiny_npid(ensure_neg=True, memory_bank={'weights': [9.0, 1.0]})
