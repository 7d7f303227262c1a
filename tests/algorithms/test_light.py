"""NNCLR, DCL and TiCo: what their pages say of a step, on a linear network."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Algorithm
from jssl.losses import decoupled_contrast, nt_xent, tico
from jssl.memories import nearest_rows, update_covariance
from tests.algorithms.runs import RUN, seen
from tests.algorithms.tiny_models import (
    BATCH,
    SIDE,
    WIDTH,
    Flatten,
    linear,
    tiny_dcl,
    tiny_nnclr,
    tiny_tico,
)
from tests.checks import refused, well_scaled

INSIDE = SIDE * SIDE * 3
PLAIN: dict[str, Any] = {'backbone': Flatten(), 'neck': linear(INSIDE, WIDTH)}


def taken(model: Algorithm) -> tuple[Any, Any, Any, Any, list[np.ndarray]]:
    """Parameters and state, loss and state after it, and the projections of both views."""
    model = dataclasses.replace(model, run=RUN)
    batch = seen()
    params, state = well_scaled(jax.eval_shape(model.init, jax.random.key(0), batch))
    zeros = {'queue_ptr': jnp.zeros((), jnp.int32)} if 'queue_ptr' in state else {}
    state = {**state, **zeros}
    loss, (after, _) = jax.jit(model.loss)(params, state, batch)
    kernel = np.asarray(params['neck']['fc0']['kernel'])
    rows = [np.reshape(view, (BATCH, -1)) @ kernel for view in batch['views']]
    return params, state, loss, after, rows


def test_nnclr_predicts_neighbors_and_remembers_the_second_view() -> None:
    model = tiny_nnclr(head_of=lambda: linear(WIDTH, WIDTH, with_avg_pool=False), **PLAIN)
    params, state, loss, after, (first, second) = taken(model)
    kernel = np.asarray(params['head']['predictor']['fc0']['kernel'])
    nearest, contrast = jax.jit(nearest_rows), jax.jit(nt_xent)
    neighbors = [nearest(state['queue'], rows) for rows in (first, second)]
    expected = contrast(neighbors[0], second @ kernel, 0.5)
    expected += contrast(neighbors[1], first @ kernel, 0.5)
    assert float(loss) == pytest.approx(float(expected) / 2, rel=1e-5)
    np.testing.assert_allclose(after['queue'][:BATCH], second, rtol=1e-5)
    np.testing.assert_array_equal(after['queue'][BATCH:], state['queue'][BATCH:])
    assert int(after['queue_ptr']) == BATCH
    with refused('config.model.feat_dim=4', f'out_channels={WIDTH}'):
        jax.eval_shape(tiny_nnclr(feat_dim=4).init, jax.random.key(0), seen())
    wide = {**PLAIN, 'neck': linear(INSIDE, 4)}
    model = tiny_nnclr(head_of=lambda: linear(4, WIDTH, with_avg_pool=False), **wide)
    with refused(f'config.model.feat_dim={WIDTH}', 'config.model.neck.out_channels=4'):
        jax.eval_shape(model.init, jax.random.key(0), seen())


@pytest.mark.parametrize('sigma', [None, 0.5])
def test_dcl_is_its_loss(sigma: float | None) -> None:
    _, _, loss, _, rows = taken(tiny_dcl(sigma=sigma, **PLAIN))
    expected = jax.jit(decoupled_contrast, static_argnums=3)(rows[0], rows[1], 0.5, sigma)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_tico_uses_the_covariance_that_holds_this_batch() -> None:
    _, state, loss, after, (first, second) = taken(tiny_tico(**PLAIN))
    covariance = jax.jit(update_covariance)(state['covariance'], first)
    np.testing.assert_allclose(after['covariance'], covariance, rtol=1e-4, atol=1e-6)
    # The first update of the teacher is a copy of the student.
    expected = jax.jit(tico)(first, second, covariance)
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)
