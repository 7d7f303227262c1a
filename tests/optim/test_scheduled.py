"""Optimizers and schedules of optax in the places of ours."""

import functools
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.optim import (
    LARS,
    SGD,
    AdamW,
    Constant,
    Scheduled,
    WarmupCosine,
    learning_rate,
    make_optimizer,
)
from tests.checks import assert_trees_close, refused

PARAMS = {'backbone': {'kernel': jnp.array([1.0, -2.0])}, 'head': {'bias': jnp.array([0.5])}}
LENGTH: dict[str, Any] = {'steps_per_epoch': 2, 'epochs': 3}


def trajectory(optimizer: optax.GradientTransformation, steps: int = 6) -> Any:
    """The parameters after steps along the gradient of half their square."""
    params, state = PARAMS, optimizer.init(PARAMS)
    update = jax.jit(optimizer.update)
    for _ in range(steps):
        updates, state = update(params, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_a_transformation_is_taken_as_it_is() -> None:
    plain = optax.adamw(0.1, weight_decay=0.2)
    assert make_optimizer(plain, Constant(), **LENGTH) is plain
    assert learning_rate(plain, Constant(), **LENGTH) is None


def test_a_function_of_optax_follows_our_schedule() -> None:
    schedule = WarmupCosine(warmup_epochs=1, min_lr=0.01)
    recipe = Scheduled(functools.partial(optax.sgd, momentum=0.9), lr=0.3)
    found = trajectory(make_optimizer(recipe, schedule, **LENGTH))
    ours = trajectory(make_optimizer(SGD(lr=0.3, momentum=0.9), schedule, **LENGTH))
    # Here the momentum holds no rates, as in PyTorch, so the two are the same.
    assert_trees_close(found, ours, rtol=1e-6)
    rate = learning_rate(recipe, schedule, **LENGTH)
    assert rate is not None
    assert [rate(step) for step in (1, 5)] == pytest.approx([0.3, 0.01 + 0.29 * 0.14644661])


def test_a_schedule_of_optax_multiplies_the_base_rate_of_every_group() -> None:
    curve = optax.linear_schedule(1.0, 0.0, transition_steps=4)
    recipe = SGD(lr=0.2, custom_keys={'bias': {'lr_mult': 0.5}, 'kernel': {'fix_lr': True}})
    optimizer = make_optimizer(recipe, curve, **LENGTH)
    state = optimizer.init(PARAMS)
    gradient = jax.tree.map(jnp.ones_like, PARAMS)
    for step in range(3):
        updates, state = optimizer.update(gradient, state, PARAMS)
        expected = -0.2 * 0.5 * (1 - step / 4)
        np.testing.assert_allclose(updates['head']['bias'], expected, rtol=1e-6)
        np.testing.assert_allclose(updates['backbone']['kernel'], -0.2, rtol=1e-6)
    rate = learning_rate(recipe, curve, **LENGTH)
    assert rate is not None
    assert float(rate(2)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    'recipe', [optax.adamw(0.1, weight_decay=1.0), Scheduled(optax.adamw, lr=0.1)]
)
def test_frozen_parameters_stay_as_they_are_whatever_the_decay(recipe: Any) -> None:
    frozen: dict[str, Any] = {'is_frozen': lambda name: name == 'backbone.kernel'}
    after = trajectory(make_optimizer(recipe, Constant(), **LENGTH, **frozen))
    assert after['backbone']['kernel'].tolist() == [1.0, -2.0]
    assert after['head']['bias'][0] < 0.5


@pytest.mark.parametrize(
    'schedule', [WarmupCosine(), optax.constant_schedule(1.0), Constant(warmup_epochs=1)]
)
def test_a_schedule_without_effect_is_refused(schedule: Any) -> None:
    with refused(
        'no effect', '--config.schedule=None', '--config.optimizer.learning_rate=0.001', 'Scheduled'
    ):
        make_optimizer(optax.adamw(0.1), schedule, **LENGTH)


def test_what_makes_no_transformation_is_refused() -> None:
    with refused('config.optimizer gives 3', 'optax.adamw(learning_rate)'):
        make_optimizer(Scheduled(lambda learning_rate: 3, lr=0.1), Constant(), **LENGTH)
    with refused('config.optimizer: TypeError', 'learning_rate'):
        make_optimizer(Scheduled(lambda: optax.sgd(0.1), lr=0.1), Constant(), **LENGTH)
    with refused('Scheduled.lr=-1'):
        Scheduled(optax.sgd, lr=-1)


def test_ours_can_be_parts_of_a_chain_of_optax() -> None:
    recipe = LARS(lr=0.1, eta=0.01, weight_decay=0.1)
    ours = make_optimizer(recipe, Constant(), **LENGTH)
    after = trajectory(optax.chain(optax.clip_by_global_norm(1.0), ours))
    assert np.isfinite(after['head']['bias']).all()
    accumulated = optax.MultiSteps(make_optimizer(AdamW(lr=0.1), Constant(), **LENGTH), 2)
    moved = trajectory(accumulated.gradient_transformation(), steps=1)
    assert_trees_close(moved, PARAMS, rtol=0)  # every second step is one


def test_the_package_needs_jax_flax_and_optax_alone() -> None:
    program = 'import sys, jssl.optim; print(*sys.modules)'
    said = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    loaded = set(said.stdout.split())
    ours = {name for name in loaded if name.startswith('jssl.')}
    assert ours <= {'jssl.checks', 'jssl.errors', 'jssl.kinds'} | {
        name for name in ours if name.startswith('jssl.optim')
    }
    assert 'jssl.optim.schedules' in ours
    assert not loaded & {'tensorflow_datasets', 'matplotlib', 'sklearn', 'orbax', 'PIL'}
