"""Runs that are stopped and go on: their metrics and warnings are those of one that was not."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from jssl.fitting.evaluating import RunEvaluator
from jssl.interrupts import Interrupted
from jssl.training import sharding
from jssl.training.settings import MeshShape
from tests.training import toy


class Doubtful(toy.Toy):
    """It says over which steps it was asked."""

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        loss, (state, _) = super().loss(params, state, batch)
        return loss, (state, {'number': batch['step'] + 1})

    def diagnose(self, metrics: Any) -> str:
        return f'mean of steps: {metrics["number"]:g}'


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    directory = tmp_path_factory.mktemp('whole')
    toy.trained(toy.experiment(), directory)
    return directory


@pytest.mark.parametrize('step', [7, 8, 12])
def test_metrics_of_a_run_that_was_stopped_are_those_of_one_that_was_not(
    step: int, whole: Path, tmp_path: Path
) -> None:
    """Step 8 is one of evaluation, 12 the last."""
    with pytest.raises(Interrupted, match=f'after step {step}, which is saved'):
        toy.trained(toy.experiment(schedule=toy.stopped_in(step)), tmp_path)
    toy.trained(toy.experiment(), tmp_path)
    assert [row['step'] for row in toy.numbers(tmp_path) if 'rankme' in row] == [0, 4, 8, 12]
    assert toy.numbers(tmp_path) == toy.numbers(whole)


def test_a_run_goes_on_with_other_devices(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From four with parameters split over two to two; only the rounding of sums differs."""
    monkeypatch.setattr(sharding, 'SMALLEST_SHARDED', 16)
    four, two = (
        dataclasses.replace(toy.experiment().runtime, mesh=MeshShape(devices, fsdp))
        for devices, fsdp in ((4, 2), (2, 1))
    )
    split = toy.experiment(runtime=four, schedule=toy.stopped_in(6))
    kernel = split.placed_state.params['backbone']['kernel']
    assert not kernel.sharding.is_fully_replicated
    with pytest.raises(Interrupted, match='after step 6'):
        toy.trained(split, tmp_path)
    toy.trained(toy.experiment(runtime=two), tmp_path)
    for name in ('loss', 'rankme'):
        found, expected = (
            [row[name] for row in toy.numbers(folder) if name in row]
            for folder in (tmp_path, whole)
        )
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_signal_in_the_last_evaluation_is_not_forgotten(whole: Path, tmp_path: Path) -> None:
    """It comes when the last step is logged, after which nothing is left to train."""
    found = toy.experiment(schedule=toy.stopped_in(toy.STEPS + 1))
    with pytest.raises(Interrupted, match=f'after step {toy.STEPS}, which is saved'):
        toy.trained(found, tmp_path)
    assert toy.numbers(tmp_path) == toy.numbers(whole)


def test_a_stop_between_two_lines_adds_none(tmp_path: Path) -> None:
    """Lines are due after steps 5 and 10 and each epoch; that of 5 is written while 6 runs."""
    toy.trained(toy.experiment(log_every=5), tmp_path / 'whole')
    schedule = toy.stopped_in(6)
    with pytest.raises(Interrupted, match='after step 6'):
        toy.trained(toy.experiment(log_every=5, schedule=schedule), tmp_path / 'stopped')
    toy.trained(toy.experiment(log_every=5), tmp_path / 'stopped')
    assert toy.numbers(tmp_path / 'stopped') == toy.numbers(tmp_path / 'whole')


@pytest.mark.parametrize('killed', [5, 9])
def test_what_came_after_the_checkpoint_is_written_once(
    killed: int, whole: Path, tmp_path: Path
) -> None:
    """As SIGKILL leaves it: lines up to `killed`, checkpoints up to the epoch before."""
    shutil.copytree(whole, tmp_path / 'run')
    lines = (whole / 'metrics.jsonl').read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if int(line.split(b',')[0].split(b':')[1]) <= killed]
    (tmp_path / 'run' / 'metrics.jsonl').write_bytes(b''.join(kept)[:-20])
    for step in range(killed, toy.STEPS + 1):
        shutil.rmtree(tmp_path / 'run' / 'checkpoints' / str(step), ignore_errors=True)
    toy.trained(toy.experiment(), tmp_path / 'run')
    assert toy.numbers(tmp_path / 'run') == toy.numbers(whole)


def test_the_warning_and_its_history_outlive_the_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped in step 9, after two of three evaluations."""
    collapsed = toy.Toy(collapsed=True)
    with pytest.raises(Interrupted):
        toy.trained(toy.experiment(collapsed, schedule=toy.stopped_in(9)), tmp_path)
    capsys.readouterr()
    warning = toy.trained(toy.experiment(collapsed), tmp_path).warning
    assert warning is not None
    assert capsys.readouterr().out.count('WARNING') == 2  # when it goes on, and at step 12
    evaluator = toy.trained(toy.experiment(collapsed), tmp_path)
    assert evaluator.warning == warning
    assert 'WARNING: The features have nearly collapsed' in capsys.readouterr().out
    assert [row['step'] for row in evaluator.history] == [4, 8, 12]


def test_damage_to_the_metrics_is_said(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / 'run')
    path = tmp_path / 'run' / 'metrics.jsonl'
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[5]  # of step 4, which has another one
    lines[2] = b'{"step": 2, "kind": "step", "loss": "\xff"}\n'
    path.write_bytes(b''.join(lines))
    toy.trained(toy.experiment(), tmp_path / 'run')
    said = capsys.readouterr().out
    assert f'{path} has damaged lines (1: 3) and no lines of steps (1: 2)' in said
    path.unlink()
    toy.trained(toy.experiment(), tmp_path / 'run')
    assert 'no lines of steps (12: 1, 2, 3' in capsys.readouterr().out


def test_few_test_images_of_a_wide_network_are_no_collapse(tmp_path: Path) -> None:
    """Their features reach RankMe 11.8 of at most 16; one percent of the dimensions is 20."""
    found = toy.experiment(toy.Toy(width=2048), test_data=toy.Arrays(toy.images(16, 1)))
    evaluator = RunEvaluator(found, print)
    scores = [evaluator.evaluate(step, found.make_state()) for step in (4, 8)]
    assert scores[1]['rankme'] > 8
    assert evaluator.warning is None


def test_steps_that_nobody_saved_are_taken_again_with_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.took_steps(tmp_path, 3)
    toy.trained(toy.experiment(), tmp_path)
    assert 'no step of the 3 taken here was saved; beginning again' in capsys.readouterr().out
    assert [row['step'] for row in toy.numbers(tmp_path) if 'loss' in row] == list(range(1, 13))


def test_what_an_algorithm_says_of_its_latest_lines_is_a_warning_that_outlives_the_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five lines, which there are not yet when step 4 is evaluated; stopped in step 9."""
    with pytest.raises(Interrupted):
        toy.trained(toy.experiment(Doubtful(), schedule=toy.stopped_in(9)), tmp_path)
    said = capsys.readouterr().out
    assert said.count('WARNING') == said.count('WARNING: mean of steps: 6') == 1
    evaluator = toy.trained(toy.experiment(Doubtful()), tmp_path)
    said = capsys.readouterr().out
    assert said.index('WARNING: mean of steps: 7') < said.index('WARNING: mean of steps: 10')
    assert said.count('WARNING') == 2
    assert evaluator.warning == 'mean of steps: 10'
