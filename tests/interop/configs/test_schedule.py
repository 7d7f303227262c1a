"""Schedules of both kinds of releases give the rates that they give there."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.components import build
from jssl.interop.configs.notes import Fields, Notes
from jssl.interop.configs.reading import read_config
from jssl.interop.configs.schedule import Length, of_policy, of_schedulers
from tests.checks import refused

STEPS, EPOCHS, LR = 5, 8, 0.4


def carried(folder: Path, text: str, steps: int | None = STEPS) -> tuple[Any, Notes]:
    """The schedule, and what is noted."""
    (folder / 'config.py').write_text(text)
    config, notes = read_config(folder / 'config.py'), Notes()
    length = Length(EPOCHS, steps)
    top = Fields(config, notes, 'config')
    if 'lr_config' in config:
        return of_policy(top.inner('lr_config'), length), notes
    return of_schedulers(config.get('param_scheduler'), top, length), notes


def rates(schedule: Any) -> np.ndarray:
    made = build('schedule', schedule)(LR, steps_per_epoch=STEPS, epochs=EPOCHS)
    return made(np.arange(STEPS * EPOCHS))


def mmcv(step: int, *, warmup: int, ratio: float, by_epoch: bool, floor: float) -> float:
    """MMCV's CosineAnnealing with a linear warm-up, written after its documentation."""
    share = step // STEPS / EPOCHS if by_epoch else step / (STEPS * EPOCHS)
    rate = floor + (LR - floor) * (1 + math.cos(math.pi * share)) / 2
    late = 1 - step / (warmup * STEPS)
    return rate * (1 - late * (1 - ratio)) if late > 0 else rate


@pytest.mark.parametrize('by_epoch', [True, False])
def test_the_cosine_of_older_releases_begins_with_the_run(by_epoch: bool, tmp_path: Path) -> None:
    text = f"""lr_config = dict(policy='CosineAnnealing', by_epoch={by_epoch}, min_lr=0.01,
        warmup='linear', warmup_iters=2, warmup_ratio=0.1, warmup_by_epoch=True)"""
    schedule, notes = carried(tmp_path, text)
    assert not notes.differs
    settings: Any = dict(warmup=2, ratio=0.1, by_epoch=by_epoch, floor=0.01)
    expected = [mmcv(step, **settings) for step in range(STEPS * EPOCHS)]
    np.testing.assert_allclose(rates(schedule), expected, rtol=1e-12)


def test_a_warm_up_may_count_steps(tmp_path: Path) -> None:
    older = "lr_config = dict(policy='step', step=[3, 5], warmup='linear', warmup_iters=10)"
    assert carried(tmp_path, older)[0]['warmup_epochs'] == 2
    newer = """param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=10, end=40, eta_min=0.01)]"""
    assert carried(tmp_path, newer)[0] == {
        'type': 'WarmupCosine',
        'min_lr': 0.01,
        'warmup_epochs': 2,
        'warmup_factor': 0.1,
    }
    with refused('config.py:2', 'end=10 counts steps', '--images=N'):
        carried(tmp_path, newer, None)


def test_steps_fall_where_they_do_there(tmp_path: Path) -> None:
    older = "lr_config = dict(policy='step', step=[3, 5], gamma=0.5)"
    found = rates(carried(tmp_path, older)[0])[::STEPS]
    np.testing.assert_allclose(found, LR * np.array([1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]))
    newer = "param_scheduler = dict(type='MultiStepLR', milestones=[1, 3], gamma=0.5, begin=2)"
    np.testing.assert_allclose(rates(carried(tmp_path, newer)[0])[::STEPS], found)


def test_steps_may_fall_again_and_again_and_end(tmp_path: Path) -> None:
    older = "lr_config = dict(policy='step', step=3)"
    assert carried(tmp_path, older)[0]['milestones'] == (3, 6)
    newer = "param_scheduler = dict(type='StepLR', step_size=3, begin=1, end=7)"
    assert carried(tmp_path, newer)[0]['milestones'] == (4,)  # MMEngine ends before the 7th
    newer = "param_scheduler = dict(type='MultiStepLR', milestones=[2, 5], end=5)"
    assert carried(tmp_path, newer)[0]['milestones'] == (2,)


def test_a_cosine_with_its_own_length_keeps_it(tmp_path: Path) -> None:
    text = "param_scheduler = dict(type='CosineAnnealingLR', T_max=4, begin=0, end=4)"
    schedule, _ = carried(tmp_path, text)
    assert schedule == {'type': 'WarmupCosine', 'by_epoch': True, 'cosine_epochs': 4}
    assert rates(schedule)[2 * STEPS] == LR / 2


def test_the_warm_up_of_step_fix_begins_at_zero_and_is_told(tmp_path: Path) -> None:
    text = """lr_config = dict(policy='StepFixCosineAnnealing', min_lr=0., by_epoch=False,
        warmup='linear', warmup_iters=2, warmup_ratio=1e-4, warmup_by_epoch=True)"""
    schedule, notes = carried(tmp_path, text)
    assert rates(schedule)[0] == 0
    assert [str(note.place).rpartition('/')[2] for note in notes.differs] == ['config.py:1']
    after = rates(schedule)[2 * STEPS :]
    share = np.arange(6 * STEPS) / (6 * STEPS)
    np.testing.assert_allclose(after, LR * (1 + np.cos(np.pi * share)) / 2)


def test_without_a_schedule_the_rate_stays(tmp_path: Path) -> None:
    assert carried(tmp_path, 'param_scheduler = []')[0] == {'type': 'Constant'}
    assert carried(tmp_path, "lr_config = dict(policy='fixed')")[0] == {'type': 'Constant'}


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ("lr_config = dict(policy='step', step='3')", "step='3' must be a whole number"),
        ("lr_config = dict(policy='step', step=['3'])", "step=['3'] must be numbers"),
        ("param_scheduler = dict(type='StepLR', step_size=0)", 'step_size=0 must be'),
        ("param_scheduler = dict(type='MultiStepLR', milestones=3)", 'milestones=3 must be'),
        ("param_scheduler = dict(type='CosineAnnealingLR', T_max='a')", "T_max='a' must be"),
    ],
)
def test_wrong_types_are_told_with_their_line(text: str, said: str, tmp_path: Path) -> None:
    with refused('config.py:1', said):
        carried(tmp_path, text)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ("lr_config = dict(policy='poly')", "policy='poly'"),
        ("lr_config = dict(policy='step', step=3, by_epoch=False)", 'by_epoch=False'),
        ("lr_config = dict(policy='fixed', warmup='exp', warmup_iters=5)", "warmup='exp'"),
        ("lr_config = dict(policy='fixed', wramup=3)", 'wramup=3'),
        ("param_scheduler = dict(type='CosineAnnealingLR', T_max=4, end=8)", 'T_max=4'),
        ("param_scheduler = dict(type='CosineAnnealingLR', T_max=9, end=6)", 'end=6'),
        ("param_scheduler = dict(type='CosineAnnealingLR')", 'does not fall there; give T_max'),
        ("param_scheduler = dict(type='LinearLR')", 'a warm-up ends'),
        ("param_scheduler = dict(type='PolyLR')", "'PolyLR' is not known"),
        ("param_scheduler = [dict(type='LinearLR', begin=1, end=3)]", 'begin=1'),
        ("param_scheduler = [dict(type='CosineAnnealingLR', begin=3)]", 'begin=3'),
        ("param_scheduler = [dict(type='LinearLR', end_factor=2., end=3)]", 'end_factor=2.0'),
        ("param_scheduler = [dict(type='MultiStepLR')] * 2", 'a second fall'),
        ("param_scheduler = [dict(type='MultiStepLR', by_epoch=False)]", 'by_epoch=False'),
    ],
)
def test_what_has_no_counterpart_is_noted(text: str, said: str, tmp_path: Path) -> None:
    _, notes = carried(tmp_path, text)
    assert any(said in str(note) and 'config.py:1' in str(note) for note in notes.missing)
