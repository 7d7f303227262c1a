"""jssl against the reference's own numbers: losses, every gradient, all state after the step.

Reads the files of `JSSL_GOLDEN`; any further file of the same format in that folder is checked by
the same tests. A case is one step from drawn weights, a trajectory several with an optimizer.
"""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.algorithm import Algorithm
from jssl.components import build
from jssl.interop.mmselfsup import export_state
from jssl.training.optimizers import make_optimizer
from tests import parity

SUPPORTED = (
    'barlowtwins',
    'byol',
    'cae',
    'deepcluster',
    'densecl',
    'mae',
    'mocov2',
    'mocov3',
    'npid',
    'odc',
    'relative_loc',
    'rotation_pred',
    'simclr',
    'simmim',
    'simsiam',
    'swav',
)
# Cases in which units do change sides in float32, and how many times the bound their gradients get.
# Images that differ by 1e-7 lead to other units: seen from 0.01 to 3.6 times, and 1.5 to 15.
CHANGED_SIDES = {'densecl_r18': 5, 'byol_r50': 20, 'mocov3_r50': 20, 'simsiam_r50': 20}
GOLDEN = Path(
    os.environ.get('JSSL_GOLDEN', Path(__file__).resolve().parents[2] / 'shared' / 'golden')
)
CASES = sorted(path.stem for name in SUPPORTED for path in GOLDEN.glob(f'{name}_*.npz'))
# The deepest networks take half a minute each to compile. Their float64, which is never marked,
# shows that they are right, float32 only how well that holds.
DEEP = [pytest.param(case, marks=pytest.mark.slow) for case in CASES if case.endswith('_r50')]
SHALLOW = [case for case in CASES if not case.endswith('_r50')]
TRAJECTORIES = sorted(path.stem for name in SUPPORTED for path in GOLDEN.glob(f'traj_{name}_*.npz'))


def step(saved: Any, dtype: str) -> tuple[float, parity.Arrays, parity.Arrays, parity.Arrays]:
    """Loss, gradients, and everything before and after, in the reference's names and layouts."""
    algorithm = parity.algorithm(saved)
    batch = parity.batch(saved, saved.inputs(), dtype)
    params, state = parity.start(saved, algorithm, batch, dtype)
    run = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
    (loss, (after, _)), grads = run(params, state, batch)
    assert loss.dtype == dtype
    assert jax.tree.structure(after) == jax.tree.structure(state)
    parity.compare_queue(after, saved)
    exported = [
        export_state(*both, algorithm=algorithm)
        for both in ((params, state), algorithm.after_step(params, after))
    ]
    return float(loss), export_state(grads), *exported


@pytest.mark.parametrize('case', CASES)
def test_float64_equals_the_reference(golden: Path, case: str) -> None:
    with jax.enable_x64(True):
        saved = parity.reference(golden, case)
        loss, grads, before, after = step(saved, 'float64')
    assert loss == pytest.approx(saved.meta['total64'], rel=1e-6)
    parity.compare_gradients(grads, saved, 'grad64', 1e-6)
    parity.compare_state(after, before, saved, 'after64', 1e-6)


@pytest.mark.parametrize('case', SHALLOW + DEEP)
def test_float32_is_as_close_as_the_reference_is_to_itself(golden: Path, case: str) -> None:
    saved = parity.reference(golden, case)
    loss, grads, before, after = step(saved, 'float32')
    # The absolute part is for losses near 0 that are differences of cosines.
    assert loss == pytest.approx(saved.meta['total'], rel=1e-5, abs=1e-6)
    gaps = saved.meta['gap64']['grad']
    # Thrice the bound of the folder's README: one unit within rounding of 0 may change sides under
    # a ReLU and then moves a few entries (seen: 1.4 times, in one bias of the deepest network), and
    # a variance about a stored mean far from the batch's, as a drawn one is, loses digits (seen:
    # 2.3 times in the deepest Barlow Twins; 0.6 with the batch's mean subtracted first).
    factor = CHANGED_SIDES.get(case, 3)
    bounds = {key: factor * max(1e-4, 10 * gap) for key, gap in gaps.items()}
    parity.compare_gradients(grads, saved, 'grad', bounds)
    parity.compare_state(after, before, saved, 'after', 1e-4)


def transformation(saved: Any, algorithm: Algorithm) -> optax.GradientTransformation:
    """The optimizer of a trajectory; its rate changes by step where the file says so."""
    settings = saved.meta['optim']
    groups = settings.get('paramwise_cfg', {}).get('custom_keys', {})
    names = saved.meta['param_groups']
    groups = {key: group for key, group in groups.items() if any(key in name for name in names)}
    clip = settings.get('clip_grad', {}).get('max_norm')
    optimizer = build('optimizer', {**settings['optimizer'], 'custom_keys': groups, 'clip': clip})

    def schedule(base_lr: float, **length: int) -> Any:
        del length
        rates = np.asarray(saved.meta['lrs'] or [optimizer.lr] * saved.meta['steps'])
        return lambda step: jnp.asarray(base_lr / optimizer.lr * rates)[step]

    length = {'steps_per_epoch': 1, 'epochs': saved.meta['steps']}
    return make_optimizer(optimizer, schedule, **length, algorithm=algorithm)


def train(saved: Any) -> tuple[list[float], parity.Arrays, parity.Arrays]:
    """The losses of a trajectory, and everything before its first and after its last step."""
    algorithm = parity.algorithm(saved)
    optimizer = transformation(saved, algorithm)
    batches = [
        parity.batch(saved, parity.step_inputs(saved, step), 'float64')
        for step in range(saved.meta['steps'])
    ]
    params, state = parity.start(saved, algorithm, batches[0], 'float64')
    before = export_state(params, state, algorithm=algorithm)
    opt_state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any, opt_state: Any, batch: Any) -> Any:
        run = jax.value_and_grad(algorithm.loss, has_aux=True)
        (loss, (state, _)), grads = run(params, state, batch)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return loss, optax.apply_updates(params, updates), state, opt_state

    losses = []
    # What follows a step of SwAV opens the next one there, so its prototypes are saved before it.
    opens = saved.meta['algorithm'] == 'swav'
    for batch in batches:
        params, state = algorithm.after_step(params, state) if opens else (params, state)
        loss, params, state, opt_state = step(params, state, opt_state, batch)
        params, state = (params, state) if opens else algorithm.after_step(params, state)
        losses.append(float(loss))
    parity.compare_queue(state, saved)
    return losses, before, export_state(params, state, algorithm=algorithm)


@pytest.mark.parametrize('case', TRAJECTORIES)
def test_trajectory_equals_the_reference_s(golden: Path, case: str) -> None:
    with jax.enable_x64(True):
        saved = parity.reference(golden, case)
        losses, before, after = train(saved)
    expected = [losses['total'] for losses in saved.meta['losses64']]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    parity.compare_state(after, before, saved, 'after64', 1e-5)


def test_there_are_cases_to_check(golden: Path) -> None:
    assert CASES, f'{golden} holds none of the algorithms {SUPPORTED}'
