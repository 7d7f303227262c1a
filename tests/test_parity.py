"""jssl against the reference's own numbers: losses, every gradient, all state after the step.

A step is one from drawn weights, a trajectory several with an optimizer. Whatever steps and
trajectories of jssl's algorithms the folders hold are checked, see `tests.golden`.
"""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest

from tests import families, golden, parity, trajectories

# What the reference's float32 run gave; ours is compared with float64, whose numbers are exact.
FLOAT32 = ('grad/*', 'after/*', 'losses', 'losses.*', 'total', 'out/*')
# How counters, pointers and switches were set, which the state and the inputs hold.
OPTIONS = [
    f'options.{name}'
    for name in ('step', 'queue_ptr', 'queue2_ptr', 'dropout', 'neg_draws', 'class_weight', 'queue')
]
# Recorded draws from which the reference made other recorded inputs.
DRAWS = ('neg_draw', 'drop/')


@golden.each('step', slow=golden.is_deep)
def test_float64_equals_the_reference(path: Path) -> None:
    allowed = (*FLOAT32, *OPTIONS, 'max_iters', *families.unread(path))
    with jax.enable_x64(True), golden.whole(path, *allowed) as saved:
        step = parity.Stepper(saved, 'float64')()
        parity.compare_queue(step.state, saved)
        parity.compare_within(step.norms, saved, 1e-6)
        parity.compare_gradients(step.grads, saved, 1e-6)
        parity.compare_state(step.after, step.before, saved, 1e-6)
        assert step.loss == pytest.approx(saved.meta['total64'], rel=1e-6)
        for name, value in saved.meta['losses64'].items():
            metric = families.metric(saved, name)
            found = step.metrics.get(metric, step.loss if name == 'loss' else None)
            assert found == pytest.approx(value, rel=1e-6), name
        check_inputs_are_read(saved, step.read)


def check_inputs_are_read(saved: golden.File, read: set[str]) -> None:
    """Every recorded input goes into the step, or into the state before it."""
    fields = {array: parity.FIELDS[field] for field, array in saved.meta['sample_fields'].items()}
    names = {key.removeprefix('in/') for key in saved.arrays if key.startswith('in/')}
    entries = {families.entry(saved, fields.get(name, name)) for name in names}
    left = entries - read - {'label_bank'}
    assert not [name for name in left if not name.startswith(DRAWS)], left


@golden.each('step', slow=golden.repeats)
def test_float32_errs_less_than_numbers_that_differ_by_more_than_it_rounds(path: Path) -> None:
    """What float32 may cost follows from float64, on any processor.

    It lies no further off than float64 does with images, weights and state changed by more than all
    its roundings together (`parity.ROUNDINGS`); units that change sides under a ReLU, which moves a
    gradient at once, are among what that change shows.
    """
    saved = golden.File(path)
    with jax.enable_x64(True):
        run = parity.Stepper(saved, 'float64')
        exact = run()
        others = [run(functools.partial(parity.changed, seed=seed)) for seed in (0, 1)]
    step = parity.Stepper(saved, 'float32')()
    bound = max(abs(other.loss - exact.loss) for other in others)
    assert abs(step.loss - exact.loss) <= bound + 1e-6 * max(1, abs(exact.loss))
    parity.compare_distances(step.grads, exact.grads, [other.grads for other in others])
    parity.compare_distances(step.after, exact.after, [other.after for other in others])


def has_nothing_between_steps(meta: golden.Meta) -> bool:
    """No hook runs, so that it shows a step, which others show, and an optimizer."""
    return golden.is_deep(meta) or not meta.get('hooks', True)


@golden.each('trajectory', slow=has_nothing_between_steps)
def test_trajectory_equals_the_reference_s(path: Path) -> None:
    # The arrays after the last step are of the float32 run, and their settings the optimizer's.
    allowed = (*FLOAT32, *OPTIONS, 'after_full/*', 'param_groups*', 'losses64.*', 'max_iters')
    allowed += families.unread(path)
    with jax.enable_x64(True), golden.whole(path, *allowed) as saved:
        losses, before, after = trajectories.train(saved, 'float64')
        expected = [losses['total'] for losses in saved.meta['losses64']]
        np.testing.assert_allclose(losses, expected, rtol=1e-5)
        parity.compare_state(after, before, saved, 1e-5, whole=False)
