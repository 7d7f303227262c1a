from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.memories.teacher import (
    cosine_momentum,
    init_teacher,
    linear_momentum,
    update_teacher,
)
from tests import golden
from tests.algorithms.tiny_models import tiny_moco
from tests.checks import assert_trees_close, matrix, refused

ONLINE = {'backbone': {'w': matrix(2, 3, 0.1)}, 'neck': {'b': matrix(1, 2, 0.5)}, 'head': {}}
STATS = {'backbone': {'mean': matrix(1, 2, 0.7)}}


def online(shift: float = 0.0) -> tuple[Any, Any]:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf + shift), (ONLINE, STATS))


def test_it_starts_as_a_copy_of_backbone_and_neck_in_memory_of_its_own() -> None:
    params, stats = online()
    teacher = init_teacher(params, stats)
    assert teacher['params'].keys() == {'backbone', 'neck'}
    assert teacher['batch_stats'].keys() == {'backbone'}
    assert int(teacher['steps']) == 0
    assert_trees_close(teacher['params']['backbone'], params['backbone'], rtol=0)
    donate = jax.jit(lambda one, other: (one, other), donate_argnums=(0, 1))
    donate(params['backbone'], teacher['params']['backbone'])  # fails for shared buffers


def test_the_first_update_copies_and_later_ones_average() -> None:
    teacher = init_teacher(*online())
    copied = update_teacher(teacher, *online(1.0), 0.9)
    assert_trees_close(copied['params']['neck'], online(1.0)[0]['neck'], rtol=0)
    moved = update_teacher(copied, *online(3.0), 0.9)
    expected = jax.tree.map(lambda leaf: leaf + 1.2, ONLINE['backbone'])
    assert_trees_close(moved['params']['backbone'], expected, rtol=1e-6)
    assert int(moved['steps']) == 2


def test_batch_statistics_are_overwritten_and_not_averaged() -> None:
    teacher = update_teacher(init_teacher(*online()), *online(), 0.9)
    teacher = update_teacher(teacher, *online(5.0), 0.9)
    assert_trees_close(teacher['batch_stats'], online(5.0)[1], rtol=0)


def test_any_parts_are_copied_and_the_rest_is_left_out() -> None:
    params, stats = online()
    params = {**params, 'patch_head': {'k': jnp.ones(3)}}
    teacher = init_teacher(params, stats, parts=('backbone', 'patch_head'))
    assert teacher['params'].keys() == {'backbone', 'patch_head'}
    moved = update_teacher(teacher, params, stats, 0.5)
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, teacher)
    assert init_teacher(params, parts=('backbone',))['batch_stats'] == {}
    with refused('encoder has nothing to copy', 'patch_head'):
        init_teacher(params, parts=('encoder',))


@pytest.mark.parametrize(('buffers', 'mean'), [('copied', 4.0), ('averaged', 1.0), ('own', 0.0)])
def test_batch_statistics_are_copied_averaged_or_its_own(buffers: Any, mean: float) -> None:
    params, stats = online()
    teacher = update_teacher(
        init_teacher(params, stats), *online(4.0), 0.75, buffers=buffers, copy_first=False
    )
    moved = teacher['batch_stats']['backbone']['mean'] - STATS['backbone']['mean']
    np.testing.assert_allclose(moved, mean, atol=1e-5)


def test_after_the_optimizer_it_averages_from_the_first_step_on() -> None:
    teacher = init_teacher(*online())
    for step, momentum in enumerate((0.9, 0.5)):
        teacher = update_teacher(teacher, *online(step + 1.0), momentum, copy_first=False)
    expected = jax.tree.map(lambda leaf: leaf + 0.5 * 0.1 + 0.5 * 2, ONLINE['neck'])
    assert_trees_close(teacher['params']['neck'], expected, rtol=1e-6)


def test_without_momentum_it_is_the_student_to_the_last_bit() -> None:
    params, stats = online(0.3)
    teacher = update_teacher(init_teacher(*online()), params, stats, 0.0, copy_first=False)
    assert_trees_close(teacher['params']['backbone'], params['backbone'], rtol=0, atol=0)
    still = update_teacher(init_teacher(*online()), params, stats, 1.0, copy_first=False)
    assert_trees_close(still['params']['backbone'], online()[0]['backbone'], rtol=0, atol=0)


def test_no_gradient_flows_through_it() -> None:
    teacher = init_teacher(*online())

    def total(params: Any, stats: Any) -> jax.Array:
        updated = update_teacher(teacher, params, stats, 0.5)
        kinds = (updated['params'], updated['batch_stats'])
        return sum(leaf.sum() for leaf in jax.tree.leaves(kinds))

    assert not any(np.any(leaf) for leaf in jax.tree.leaves(jax.grad(total, (0, 1))(*online())))


def test_a_small_rate_keeps_its_digits_in_float32() -> None:
    teacher = {**init_teacher(*online()), 'steps': jnp.array(7)}
    moved = update_teacher(teacher, *online(1.0), 0.999)['params']['backbone']['w']
    np.testing.assert_allclose(moved - ONLINE['backbone']['w'], 0.001, rtol=2e-4)


@golden.each('part_momentum_schedules')
def test_momenta_and_averages_are_the_reference_s(path: Path) -> None:
    with golden.whole(path) as saved:
        for case, settings in enumerate(saved.meta['cosine']):
            total = settings['max_iters']
            bounds = {'base': settings['base'], 'end': settings['end']}
            found = cosine_momentum(jnp.arange(total + 1), total, **bounds)
            # The reference computes in float32 itself.
            np.testing.assert_allclose(found, saved.arrays[f'out/cosine{case}'], rtol=2e-7)
        with jax.enable_x64(True):
            for case, settings in enumerate(saved.meta['constant']):
                check_averages(saved, settings, saved.arrays[f'out/constant{case}'])


def check_averages(saved: golden.File, settings: golden.Meta, expected: np.ndarray) -> None:
    steps = range(len(expected))
    weights = [jnp.asarray(saved.arrays[f'in/ema_w{step}'], float) for step in steps]
    start = {'backbone': jnp.full_like(weights[0], settings['start'])}
    teacher = init_teacher(start, {})
    for step, weight in enumerate(weights):
        if step % settings['interval'] == 0:  # a pause between updates is the caller's doing
            count = {**teacher, 'steps': jnp.array(step)}
            teacher = update_teacher(count, {'backbone': weight}, {}, settings['momentum'])
        np.testing.assert_allclose(teacher['params']['backbone'], expected[step], rtol=1e-7)


def test_linear_momentum_rises_evenly_and_stays_at_its_end() -> None:
    found = linear_momentum(jnp.arange(0, 40, 10), 20, base=0.9, end=0.99)
    np.testing.assert_allclose(found, [0.9, 0.945, 0.99, 0.99], rtol=1e-6)


def test_cosine_momentum_stays_at_its_end_after_the_run() -> None:
    assert float(cosine_momentum(jnp.array(25), 20, base=0.9, end=0.95)) == pytest.approx(0.95)


@pytest.mark.parametrize('momentum', [-0.1, 1.5])
def test_a_momentum_is_a_share(momentum: float) -> None:
    with refused(f'MoCo.momentum={momentum}', 'between 0 and 1'):
        tiny_moco(momentum=momentum)
