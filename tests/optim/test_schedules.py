import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.errors import JsslError
from jssl.optim.schedules import Constant, MultiStep, TruncatedCosine, WarmupCosine
from tests import golden


def recipe(plan: str) -> tuple[Any, int | None]:
    """The schedule that a plan's words describe, and the epochs of its run where they say them."""
    number, span = r'([\d.e-]+)', r'over (?:epochs )?\[(\d+), (\d+)\)'
    warmup = re.match(rf'linear from {number} {span}(?:, )?', plan)
    fields: dict[str, Any] = (
        {'warmup_epochs': int(warmup[3]), 'warmup_factor': float(warmup[1])} if warmup else {}
    )
    rest = plan[warmup.end() :] if warmup else plan
    if cosine := re.fullmatch(rf'cosine to {number} {span}(, then constant)?', rest):
        return WarmupCosine(min_lr=float(cosine[1]), **fields), int(cosine[3])
    drop = re.fullmatch(rf'x {number} at epochs ([\d, and]+)', rest)
    assert drop, f'no schedule is known that is {plan!r}'
    milestones = tuple(int(epoch) for epoch in re.findall(r'\d+', drop[2]))
    return MultiStep(milestones=milestones, gamma=float(drop[1]), **fields), None


@golden.each('part_lr_schedules')
def test_the_reference_curves(path: Path) -> None:
    with golden.whole(path) as saved:
        meta, count, epoch = saved.meta, saved.meta['iters'], saved.meta['iters_per_epoch']
        assert meta['plans'].keys() == saved.group('out').keys()
        for name, expected in saved.group('out').items():
            made, epochs = recipe(meta['plans'][name])
            schedule = made(meta['base_lr'], steps_per_epoch=epoch, epochs=epochs or count / epoch)
            on_host = [schedule(step) for step in range(count)]
            np.testing.assert_allclose(on_host, expected, rtol=1e-12)
            np.testing.assert_allclose(schedule(np.arange(count)), on_host, rtol=1e-15)
            on_device = jax.jit(schedule)(jnp.arange(count))
            assert on_device.dtype == jnp.float32
            # A cosine near its end is a difference of ones: rounding, relative to the base rate.
            np.testing.assert_allclose(on_device, expected, rtol=1e-6, atol=1e-6 * meta['base_lr'])


def rates(schedule: Any, base_lr: float, expected: np.ndarray, length: int | None = None) -> None:
    """Compares a schedule of one epoch a step with `expected`, in float64 and in float32."""
    length = length or len(expected)
    made = schedule(base_lr, steps_per_epoch=1, epochs=length)
    expected = expected[:length]  # the references' curves go on beyond the run that they are for
    np.testing.assert_allclose(made(np.arange(length)), expected, rtol=1e-12, atol=1e-18)
    on_device = jax.jit(made)(jnp.arange(length))
    np.testing.assert_allclose(on_device, expected, rtol=1e-6, atol=1e-6 * max(expected))


@golden.each('part_dino_schedules')
def test_curves_of_dino(path: Path) -> None:
    with golden.whole(path) as saved:
        for number, setting in enumerate(saved.meta['settings']):
            if 'teacher_temp' in setting:
                first, last, warmup, _ = setting['teacher_temp']
                schedule = Constant(warmup_epochs=warmup, warmup_factor=min(first / last, 0.999))
                name = f'out/teacher_temp{number - 3}'
                rates(schedule, last, saved.arrays[name])
                continue
            epoch, warmup = setting['iters'], setting['warmup_epochs']
            assert setting['start'] == 0
            schedule = WarmupCosine(
                warmup_epochs=warmup * epoch, warmup_factor=0, min_lr=setting['final']
            )
            expected = saved.arrays[f'out/schedule{number}']
            assert len(expected) == setting['epochs'] * epoch
            rates(schedule, setting['base'], expected)


@golden.each('part_vicreg_schedule')
def test_curve_of_vicreg(path: Path) -> None:
    with golden.whole(path) as saved:
        setting, expected = saved.meta['settings'], saved.arrays['out/lr']
        base, epochs = setting['base_lr'] * setting['batch_size'] / 256, setting['epochs']
        schedule = WarmupCosine(
            warmup_epochs=10, warmup_factor=0, warmup_endpoint=False, min_lr=0.001 * base
        )
        steps = np.arange(len(expected))
        found = schedule(base, steps_per_epoch=len(expected) // epochs, epochs=epochs)(steps)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@golden.each('part_dinov3_schedules')
def test_curves_of_dinov3(path: Path) -> None:
    with golden.whole(path) as saved:
        for number, setting in enumerate(saved.meta['settings']):
            if 'truncated' in setting:
                inner = setting['truncated']
                schedule = TruncatedCosine(
                    warmup_epochs=inner['warmup'],
                    warmup_factor=0,
                    min_lr=inner['final'],
                    extra=inner['trunc_extra'],
                )
                rates(schedule, inner['base'], saved.arrays['out/truncated'], inner['total'])
                continue
            expected = saved.arrays[f'out/linear_warmup_cosine{number}']
            start, peak, warmup = setting['start'], setting['peak'], setting['warmup_iterations']
            cosine = setting.get('cosine_iterations')
            factor = {'warmup_factor': start / peak} if start < peak else {}
            cosine_schedule = WarmupCosine(
                warmup_epochs=warmup if factor else 0,
                warmup_endpoint=False,
                cosine_epochs=cosine,
                endpoint=True,
                min_lr=setting['end'],
                **factor,
            )
            length = setting['total_iterations']
            if not factor:  # it stays at the peak for as long as a warm-up would last
                expected, length = expected[warmup:], length - warmup
            rates(cosine_schedule, peak, expected, length)


@golden.each('part_ijepa_schedules')
def test_curves_of_ijepa(path: Path) -> None:
    with golden.whole(path) as saved:
        for number, setting in enumerate(saved.meta['settings']):
            length, warmup, base = setting['T_max'], setting['warmup_steps'], setting['ref_lr']
            counted: dict[str, Any] = {'first_step': 1, 'warmup_endpoint': False}
            schedule = WarmupCosine(
                warmup_epochs=warmup,
                warmup_factor=setting['start_lr'] / base,
                min_lr=setting['final_lr'],
                **counted,
            )
            rates(schedule, base, saved.arrays[f'out/lr{number}'], length)
            decay = WarmupCosine(min_lr=setting['final_wd'], **counted)
            rates(decay, setting['wd'], saved.arrays[f'out/wd{number}'], length)


def test_a_run_may_end_before_its_cosine_does() -> None:
    whole = WarmupCosine(min_lr=0.1)(1.0, steps_per_epoch=2, epochs=5)
    short = WarmupCosine(min_lr=0.1, cosine_epochs=5)(1.0, steps_per_epoch=2, epochs=4)
    np.testing.assert_array_equal(short(np.arange(8)), whole(np.arange(8)))


def test_the_jitted_schedule_is_float64_where_jax_is() -> None:
    schedule = WarmupCosine(warmup_epochs=2)(0.3, steps_per_epoch=5, epochs=8)
    with jax.enable_x64(True):
        on_device = jax.jit(schedule)(jnp.arange(40, dtype=jnp.int32))
        assert on_device.dtype == jnp.float64
        np.testing.assert_allclose(on_device, schedule(np.arange(40)), rtol=1e-12)


def test_golden_value_28() -> None:
    recipe = WarmupCosine(warmup_epochs=2, warmup_factor=1e-4, min_lr=0.01)
    schedule = recipe(1.0, steps_per_epoch=10, epochs=5)
    steps = np.array([0, 1, 19, 20, 21, 35, 49])
    expected = [1e-4, 0.05272632, 1.0, 1.0, 0.99728834, 0.505, 0.01271166]
    np.testing.assert_allclose(schedule(steps), expected, atol=5e-9)


def test_a_cosine_by_epoch_keeps_its_value_inside_an_epoch_and_its_warmup_does_not() -> None:
    recipe = WarmupCosine(warmup_epochs=2, warmup_factor=0.1, by_epoch=True)
    rates = recipe(0.5, steps_per_epoch=4, epochs=6)(np.arange(24)).reshape(6, 4)
    np.testing.assert_allclose(rates[:2].ravel(), 0.5 * np.linspace(0.1, 1, 8))
    cosine = 0.25 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(rates[2:], np.repeat(cosine[:, None], 4, axis=1))


def test_the_floor_is_absolute() -> None:
    recipe = WarmupCosine(min_lr=0.01)
    last = [recipe(lr, steps_per_epoch=1000, epochs=1)(999) for lr in (1.0, 0.1, 0.01)]
    np.testing.assert_allclose(last, 0.01, rtol=1e-3)


@pytest.mark.parametrize(('by_epoch', 'progress'), [(True, 1.5 / 2.5), (False, 24 / 25)])
def test_a_warmup_may_take_part_of_an_epoch(by_epoch: bool, progress: float) -> None:
    recipe = WarmupCosine(warmup_epochs=0.5, warmup_factor=0.0, by_epoch=by_epoch)
    rates = recipe(1.0, steps_per_epoch=10, epochs=3)(np.arange(30))
    np.testing.assert_allclose(rates[:5], [0, 0.25, 0.5, 0.75, 1])
    assert (np.diff(rates[4:]) <= 0).all()
    np.testing.assert_allclose(rates[-1], (1 + np.cos(np.pi * progress)) / 2)


def test_one_warmup_step_starts_at_the_factor() -> None:
    schedule = Constant(warmup_epochs=1, warmup_factor=0.1)(2.0, steps_per_epoch=1, epochs=3)
    np.testing.assert_allclose([schedule(step) for step in range(3)], [0.2, 2.0, 2.0])


def test_without_warmup_a_constant_is_the_base_rate_for_steps_of_any_shape() -> None:
    schedule = Constant()(0.3, steps_per_epoch=7, epochs=2)
    assert schedule(13) == 0.3
    np.testing.assert_array_equal(schedule(np.arange(14)), np.full(14, 0.3))
    np.testing.assert_array_equal(jax.jit(schedule)(jnp.arange(14)), np.full(14, 0.3, np.float32))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: WarmupCosine(warmup_epochs=-1), 'warmup_epochs=-1'),
        (lambda: WarmupCosine(warmup_factor=2), 'warmup_factor=2'),
        (lambda: WarmupCosine(min_lr='0.1'), "min_lr='0.1'"),  # type: ignore[arg-type]
        (lambda: Constant(warmup_epochs=float('nan')), 'warmup_epochs=nan'),
        (lambda: WarmupCosine(cosine_epochs=0), 'cosine_epochs=0'),
        (lambda: TruncatedCosine(extra=-1), 'extra=-1'),
        (lambda: MultiStep(milestones=(3, -2)), r'milestones=\(3, -2\)'),
        (lambda: MultiStep(milestones=(3,), gamma=-0.1), 'gamma=-0.1'),
    ],
)
def test_fields_out_of_range(make: Callable[[], object], message: str) -> None:
    with pytest.raises(JsslError, match=message):
        make()


@pytest.mark.parametrize(
    ('run', 'message'),
    [
        ({'base_lr': -0.1, 'steps_per_epoch': 5, 'epochs': 9}, 'optimizer.lr=-0.1'),
        ({'base_lr': 0.1, 'steps_per_epoch': 0, 'epochs': 9}, 'steps_per_epoch=0'),
        (
            {'base_lr': 0.1, 'steps_per_epoch': 5, 'epochs': 3},
            'warmup_epochs is 3.*3 epochs.*shorten',
        ),
    ],
)
def test_runs_that_a_schedule_does_not_fit(run: dict[str, Any], message: str) -> None:
    with pytest.raises(JsslError, match=message):
        WarmupCosine(warmup_epochs=3)(**run)
