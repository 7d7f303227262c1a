"""What a run tells its callbacks, and how they end it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jssl
from jssl.fitting.outcome import Outcome
from jssl.runs.metrics import read_metrics
from jssl.training.settings import Checkpoint, Evaluate, MeshShape, Runtime
from tests.checks import refused
from tests.training import toy


class Told(jssl.Callback):
    """Writes down what it is told, and answers as `ask` says."""

    def __init__(self, **ask: dict[int, Any]) -> None:
        self.ask = ask
        self.told: list[tuple[str, int]] = []

    def _hear(self, what: str, step: int) -> Any:
        self.told.append((what, step))
        answer = self.ask.get(what, {}).get(step)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_log(self, step: int, metrics: Mapping[str, float]) -> Any:
        assert {'loss', 'lr', 'epoch'} <= metrics.keys()
        assert all(type(value) is float for value in metrics.values())
        return self._hear('log', step)

    def on_evaluation(self, step: int, scores: Mapping[str, float]) -> Any:
        assert {'feature_std', 'rankme', 'epoch'} == scores.keys()
        return self._hear('evaluation', step)

    def on_checkpoint(self, step: int, path: Path) -> Any:
        assert json.loads((path / 'contents.json').read_text())['step'] == step
        return self._hear('checkpoint', step)

    def on_end(self, outcome: Any) -> None:
        assert outcome.files
        assert all(file.is_file() for file in outcome.files)
        self._hear('end', int(outcome.train_state.step))

    def of(self, what: str) -> list[int]:
        return [step for kind, step in self.told if kind == what]


def fit(directory: Path, *callbacks: jssl.Callback, saved: int = 4) -> Outcome:
    """Twelve steps with a line each, evaluated after the last."""
    runtime = Runtime(
        log_every=1,
        evaluate=Evaluate(every_epochs=0),
        checkpoint=Checkpoint(every_steps=saved, keep=9),
        mesh=MeshShape(devices=1),
    )
    found = toy.experiment(runtime=runtime)
    return jssl.fit(found, workdir=directory, callbacks=callbacks)


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told, Outcome]:
    """A run that nothing stops."""
    directory, told = tmp_path_factory.mktemp('whole'), Told()
    return directory, told, fit(directory, told)


def test_all_that_happens_is_told_in_its_order(whole: tuple[Path, Told, Outcome]) -> None:
    _, told, _ = whole
    assert told.of('log') == list(range(1, 13))
    assert told.of('evaluation') == [12]
    assert told.of('checkpoint') == [4, 8, 12]
    assert told.told[-2:] == [('checkpoint', 12), ('end', 12)]
    assert told.told.index(('checkpoint', 4)) > told.told.index(('log', 4))


def test_callbacks_change_no_number(whole: tuple[Path, Told, Outcome], tmp_path: Path) -> None:
    fit(tmp_path)
    assert toy.numbers(tmp_path) == toy.numbers(whole[0])


@pytest.mark.parametrize('answer', [True, np.bool_(True), jssl.StopTraining()])
def test_a_wish_to_stop_ends_the_run_where_it_saves_next_as_if_complete(
    answer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told(log={5: answer})
    outcome = fit(tmp_path, told)
    assert int(outcome.train_state.step) == 8
    assert told.of('evaluation') == [8]  # which was not due
    assert told.told[-2:] == [('checkpoint', 8), ('end', 8)]
    assert [path.name for path in outcome.files] == ['report.html', 'backbone.safetensors']
    assert (outcome.stopped_by, outcome.scores.keys()) == ('Told', {'feature_std', 'rankme'})
    assert 'stopped by Told after step 8' in capsys.readouterr().out
    last = read_metrics(tmp_path / 'metrics.jsonl')[-1]
    assert (last['kind'], last['subject'], last['step']) == ('stopped', 'Told', 8)
    again = fit(tmp_path, Told())
    assert int(again.train_state.step) == 8
    assert again.stopped_by == 'Told'
    assert 'Told stopped this run after step 8; nothing is left' in capsys.readouterr().out


def test_other_answers_are_no_wish(tmp_path: Path) -> None:
    told = Told(log={2: 'yes', 3: 1, 4: False}, evaluation={12: True})
    outcome = fit(tmp_path, told)
    assert int(outcome.train_state.step) == toy.STEPS
    assert outcome.stopped_by is None


def test_an_error_ends_the_run_after_saving_and_the_same_command_goes_on(
    whole: tuple[Path, Told, Outcome], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, other = Told(log={6: KeyError('gone')}), Told()
    words = ('Told failed in on_log at step 6: KeyError', 'test_callbacks.py', 'Step 8 is saved')
    with refused(*words, f'--workdir={tmp_path}') as found:
        fit(tmp_path, told, other)
    assert isinstance(found.value.__cause__, KeyError)
    assert told.told[-1] == ('log', 6)  # none is called again
    assert other.told[-1] == ('log', 5)
    assert 'Told failed in on_log at step 6' in capsys.readouterr().out
    assert not (tmp_path / 'report.html').exists()
    fit(tmp_path, Told())
    assert toy.numbers(tmp_path) == toy.numbers(whole[0])


def test_an_error_at_the_end_costs_nothing(tmp_path: Path) -> None:
    with refused('Told failed in on_end: OSError: no network'):
        fit(tmp_path, Told(end={12: OSError('no network')}))
    assert (tmp_path / 'report.html').exists()


@pytest.mark.parametrize(
    ('callbacks', 'words'),
    [
        ([Told], 'such as MyCallback()'),
        ([print], 'on_log, on_evaluation, on_checkpoint, on_end'),
        (Told(), 'must be a list'),
        ('wandb', 'must be a list'),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_made(
    callbacks: Any, words: str, tmp_path: Path
) -> None:
    with refused(words):
        jssl.fit(toy.experiment(), workdir=tmp_path / 'run', callbacks=callbacks)
    assert not (tmp_path / 'run').exists()
