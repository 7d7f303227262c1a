"""DINOv2: masks of the global crops alone, what the loss is made of, and when the teacher moves."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from jssl.algorithms import DINOv2
from tests.algorithms import runs, tiny_masked
from tests.checks import refused, structure, well_scaled


def still(**fields: Any) -> DINOv2:
    """Without drop path, in a run."""
    model = tiny_masked.tiny_dinov2(**fields)
    backbone = model.backbone.clone(drop_path_rate=0.0)
    return dataclasses.replace(model, backbone=backbone, run=runs.RUN)


def batch(seed: int = 0, sizes: tuple[int, ...] = (8, 8, 6)) -> Batch:
    draw = np.random.default_rng(seed)
    views = tuple(jnp.asarray(draw.standard_normal((4, s, s, 3)), 'float32') for s in sizes)
    return {'views': views, 'step': jnp.array(3)}


def masks(*rows: int) -> jax.Array:
    """Three masked patches in each of these rows."""
    return jnp.zeros((8, 16), bool).at[jnp.array(rows), :3].set(True)


def start(model: DINOv2) -> Any:
    return well_scaled(jax.eval_shape(model.init, jax.random.key(0), batch()))


@pytest.mark.parametrize('centering', ['sinkhorn', 'mean'])
def test_the_loss_is_the_sum_of_its_parts_and_centers_are_a_state_of_means(centering: Any) -> None:
    model = still(centering=centering)
    params, state = start(model)
    assert ({'center', 'patch_center'} <= state.keys()) == (centering == 'mean')
    loss, (left, metrics) = jax.jit(model.loss)(params, state, {**batch(), 'masks': masks(0, 5)})
    parts = metrics['global'] + metrics['local'] + 2 * (metrics['koleo'] + metrics['ibot'])
    np.testing.assert_allclose(loss, parts, rtol=1e-6)
    for name in left.keys() - {'teacher'}:
        assert np.abs(left[name] - state[name]).max() > 1e-4


def test_the_teacher_sees_what_is_masked_and_the_student_does_not() -> None:
    model = still()
    params, state = start(model)
    loss = jax.jit(model.loss)
    plain = {**batch(), 'masks': masks(0)}
    first, second, local = plain['views']
    # Patch 0 of the first image of the first view is masked.
    other = {**plain, 'views': (first.at[0, :2, :2].add(1.0), second, local)}
    wanted, found = (jax.grad(lambda p, b=b: loss(p, state, b)[0])(params) for b in (plain, other))
    blind = {**state, 'teacher': {**state['teacher'], 'params': params}}
    assert np.abs(loss(params, blind, other)[0] - loss(params, blind, plain)[0]) > 1e-5
    # The student's features are the same, so KoLeo, which is theirs alone, is.
    one, two = (loss(params, state, b)[1][1]['koleo'] for b in (plain, other))
    np.testing.assert_allclose(one, two, rtol=1e-6)
    assert structure(wanted) == structure(found)


def test_masks_are_drawn_for_half_of_the_global_crops() -> None:
    model = still()
    drawn = model.draw(jax.random.key(1), {}, batch())
    assert drawn['masks'].shape == (8, 16)
    assert (drawn['masks'].any(axis=1)).sum() <= 4
    assert 'drop_path' not in drawn
    assert 'drop_path' in tiny_masked.tiny_dinov2().draw(jax.random.key(1), {}, batch())


def test_crops_that_are_not_square_are_refused() -> None:
    wide = {**batch(), 'views': tuple(jnp.zeros((4, 8, 12, 3)) for _ in range(2))}
    with refused('square global crops', '8 x 12 px', 'GlobalLocal'):
        still().draw(jax.random.key(0), {}, wide)
