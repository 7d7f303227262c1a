"""DINOv2: masks of the global crops alone, what the loss is made of, and when the teacher moves."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from jssl.algorithms import DINOv2
from jssl.heads import IBOTHead
from jssl.weights.files import read_weights
from tests import tiny
from tests.algorithms import runs, tiny_masked
from tests.checks import refused, structure, well_scaled
from tests.conftest import ROOT


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
    step = jax.jit(model.loss)
    loss, (left, metrics) = step(params, state, {**batch(), 'masks': masks(0, 5)})
    parts = metrics['global'] + metrics['local'] + 2 * (metrics['koleo'] + metrics['ibot'])
    np.testing.assert_allclose(loss, parts, rtol=1e-6)
    for name in left.keys() - {'teacher'}:
        assert np.abs(left[name] - state[name]).max() > 1e-4
    loss, (left, metrics) = step(params, state, {**batch(), 'masks': jnp.zeros((8, 16), bool)})
    assert metrics['ibot'] == 0
    assert np.isfinite(loss)
    if centering == 'mean':
        np.testing.assert_allclose(left['patch_center'], state['patch_center'], rtol=1e-6)


def test_the_center_of_patches_is_that_of_their_logits() -> None:
    head = IBOTHead(8, 12, 8, 8, patch_channels=10)
    model = dataclasses.replace(still(centering='mean'), head=head, patch_head=None)
    params, state = jax.eval_shape(model.init, jax.random.key(0), batch())
    assert (state['center'].shape, state['patch_center'].shape) == ((12,), (10,))
    jax.eval_shape(model.loss, params, state, {**batch(), 'masks': masks(0)})


def test_the_teacher_sees_what_is_masked_and_the_student_does_not() -> None:
    model = still()
    params, state = start(model)
    loss = jax.jit(model.loss)
    differentiate = jax.jit(jax.grad(model.loss, has_aux=True))
    plain = {**batch(), 'masks': masks(0)}
    first, second, local = plain['views']
    # Patch 0 of the first image of the first view is masked.
    other = {**plain, 'views': (first.at[0, :2, :2].add(1.0), second, local)}
    wanted, found = (differentiate(params, state, b)[0] for b in (plain, other))
    blind = {**state, 'teacher': {**state['teacher'], 'params': params}}
    assert np.abs(loss(params, blind, other)[0] - loss(params, blind, plain)[0]) > 1e-5
    # The student's features are the same, so KoLeo, which is theirs alone, is.
    one, two = (loss(params, state, b)[1][1]['koleo'] for b in (plain, other))
    np.testing.assert_allclose(one, two, rtol=1e-6)
    assert structure(wanted) == structure(found)


def test_masks_are_drawn_for_half_of_the_global_crops() -> None:
    model = still()
    drawn = jax.jit(model.draw)(jax.random.key(1), {}, batch())
    assert drawn['masks'].shape == (8, 16)
    assert (drawn['masks'].any(axis=1)).sum() <= 4
    assert 'drop_path' not in drawn
    noisy = tiny_masked.tiny_dinov2()
    assert 'drop_path' in jax.eval_shape(noisy.draw, jax.random.key(1), {}, batch())


@pytest.mark.slow
def test_a_second_run_by_the_command_trains_on_larger_images(
    digits_dir: str, tmp_path: Path
) -> None:
    first, second = tmp_path / 'first', tmp_path / 'second'
    arch = {'embed_dims': 8, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 16}
    small: list[str] = [f'--config.model.backbone.arch={arch}', '--config.epochs=1']
    small += [f'--config.model.{head}.in_channels=8' for head in ('head', 'patch_head')]
    small += ['--config.schedule.warmup_epochs=0.5', '--config.model.warmup_teacher_epochs=1']
    for part, split in (('data', 'train[:128]'), ('test_data', 'test[:32]')):
        small += [f'--config.{part}.split={split}', f'--config.{part}.data_dir={digits_dir}']
    config = f'--config={ROOT / "configs" / "dinov2.py"}'
    tiny.finish(tiny.start([config, *small, f'--workdir={first}']))
    larger = [f'--config.views.{view}.size=32' for view in ('first', 'second')]
    larger += ['--config.model.backbone.img_size=32', f'--config.pretrained={first}']
    said = tiny.finish(tiny.start([config, *small, *larger, f'--workdir={second}']))
    assert f'backbone from {first}' in said
    assert 'new here' not in said
    tables = [read_weights(run / 'backbone.safetensors')['pos_embed'] for run in (first, second)]
    assert [table.shape for table in tables] == [(1, 37, 8), (1, 65, 8)]


def test_crops_that_are_not_square_are_refused() -> None:
    wide = {**batch(), 'views': tuple(jnp.zeros((4, 8, 12, 3)) for _ in range(2))}
    with refused('square global crops', '8 x 12 px', 'GlobalLocal'):
        still().draw(jax.random.key(0), {}, wide)
