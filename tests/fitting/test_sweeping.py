"""A sweep: every lane is the run that it would be by itself, whatever happens to the others."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jssl
from jssl.errors import JsslError
from jssl.fitting.sweeping import SweepOutcome, fit_sweep
from jssl.interrupts import Interrupted
from jssl.optim.optimizers import AdamW
from jssl.runs.checkpoints import read_parts
from jssl.runs.metrics import read_metrics
from jssl.training.sweep import Sweep
from tests.training import toy

SETTINGS = [
    {'optimizer.lr': 1e-3, 'optimizer.weight_decay': 0.1, 'model.weight': 1.0, 'seed': 0},
    {'optimizer.lr': 3e-2, 'optimizer.weight_decay': 0.2, 'model.weight': 0.3, 'seed': 1},
    {'optimizer.lr': 1e9, 'optimizer.weight_decay': 0.1, 'model.weight': 1.0, 'seed': 0},
]
DOOMED = 'lane-2'


@dataclasses.dataclass(frozen=True)
class Weighted(toy.Toy):
    """A loss with a weight, as heads have."""

    weight: float = 1.0

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        loss, rest = super().loss(params, state, batch)
        return self.weight * loss, rest


def lane(setting: dict[str, Any], **changes: Any) -> jssl.Experiment:
    """The experiment of a setting."""
    lr, decay, weight, seed = setting.values()
    given = {'optimizer': AdamW(lr=lr, weight_decay=decay), 'algorithm': Weighted(weight=weight)}
    found = toy.experiment(**given | changes)
    return dataclasses.replace(found, runtime=dataclasses.replace(found.runtime, seed=seed))


def swept(workdir: Path, settings: Any = SETTINGS, **changes: Any) -> SweepOutcome:
    sweep = Sweep([lane(setting, **changes) for setting in settings], settings)
    return fit_sweep(sweep, [{'setting': setting} for setting in settings], workdir=workdir)


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> SweepOutcome:
    """A sweep that nothing stopped, one lane of which diverges in its third step."""
    return swept(tmp_path_factory.mktemp('whole') / 'sweep')


def parameters(directory: Path) -> tuple[Any, int]:
    return read_parts(directory / 'checkpoints', ('params',))


@pytest.mark.parametrize('number', [0, 1])
def test_a_lane_is_the_run_of_its_setting(number: int, whole: SweepOutcome, tmp_path: Path) -> None:
    toy.trained(lane(SETTINGS[number]), tmp_path / 'alone')
    directory = whole.workdir / f'lane-{number}'
    found, expected = toy.numbers(directory), toy.numbers(tmp_path / 'alone')
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    for row, own in zip(found, expected, strict=True):
        texts = {name for name in own if isinstance(own[name], str)}
        assert {name: row[name] for name in texts} == {name: own[name] for name in texts}
        assert [row[n] for n in own if n not in texts] == pytest.approx(
            [own[n] for n in own if n not in texts], rel=1e-5
        )
    (after, step), (alone, last) = parameters(directory), parameters(tmp_path / 'alone')
    assert step == last == toy.STEPS
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after, alone)


def test_a_lane_that_diverges_is_stopped_and_the_others_end(
    whole: SweepOutcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [bool(result.over) for result in whole.results] == [False, False, True]
    last = read_metrics(whole.workdir / DOOMED / 'metrics.jsonl')[-1]
    assert (last['kind'], last['subject']) == ('stopped', 'NaN or infinity')
    assert 'The loss became' in whole.results[2].over
    shutil.copytree(whole.workdir, tmp_path / 'again')
    outcome = swept(tmp_path / 'again')
    said = capsys.readouterr().out
    assert 'lane-0: resuming after step 12 of 12' in said
    assert (
        outcome.results[2].over
        == f'NaN or infinity ended it by step {last["step"]}, before this session'
    )
    for name in ('lane-0', 'lane-1', DOOMED):
        assert toy.numbers(tmp_path / 'again' / name) == toy.numbers(whole.workdir / name)


def test_what_a_sweep_leaves_behind(whole: SweepOutcome) -> None:
    files = {path.name for path in whole.workdir.iterdir()}
    assert {'sweep.json', 'report.html', 'lane-0', 'lane-1', DOOMED} <= files
    lanes = json.loads((whole.workdir / 'sweep.json').read_text())['lanes']
    assert lanes == {f'lane-{number}': setting for number, setting in enumerate(SETTINGS)}
    own = {path.name for path in (whole.workdir / 'lane-1').iterdir()}
    assert {'config.json', 'metrics.jsonl', 'backbone.safetensors'} <= own
    assert whole.best is None  # these images have no labels
    assert not whole.unwritten


def test_a_killed_sweep_goes_on_where_all_lanes_have_saved(
    whole: SweepOutcome, tmp_path: Path
) -> None:
    """As SIGKILL leaves it between two saves: one lane has saved step 8, the other has not."""
    shutil.copytree(whole.workdir, tmp_path / 'sweep')
    for name, steps in (('lane-0', (12,)), ('lane-1', (8, 12))):
        for step in steps:
            shutil.rmtree(tmp_path / 'sweep' / name / 'checkpoints' / str(step))
    path = tmp_path / 'sweep' / 'lane-1' / 'metrics.jsonl'
    path.write_bytes(path.read_bytes()[:-300])
    outcome = swept(tmp_path / 'sweep')
    assert not outcome.unwritten
    for name in ('lane-0', 'lane-1', DOOMED):
        assert toy.numbers(tmp_path / 'sweep' / name) == toy.numbers(whole.workdir / name)


def test_lanes_that_are_damaged_go_on_where_all_are_whole(
    whole: SweepOutcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole.workdir, tmp_path / 'sweep')
    for name, step in (('lane-0', 12), ('lane-1', 8)):
        (tmp_path / 'sweep' / name / 'checkpoints' / str(step) / 'contents.json').write_text('x')
    for again in range(2):
        swept(tmp_path / 'sweep')
        said = capsys.readouterr().out
        assert f'lane-0: resuming after step {(4, 12)[again]} of 12' in said
    for name in ('lane-0', 'lane-1', DOOMED):
        assert toy.numbers(tmp_path / 'sweep' / name) == toy.numbers(whole.workdir / name)
    (tmp_path / 'sweep' / 'sweep.json').rename(tmp_path / 'elsewhere')
    with pytest.raises(JsslError, match=r'holds lanes, and sweep.json is gone'):
        swept(tmp_path / 'sweep')


def test_lanes_that_have_no_step_in_common_begin_again(
    whole: SweepOutcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole.workdir, tmp_path / 'sweep')
    shutil.rmtree(tmp_path / 'sweep' / 'lane-1')
    swept(tmp_path / 'sweep')
    said = capsys.readouterr().out
    assert 'no step was saved by all lanes, so that all begin again' in said
    assert 'the last ones: lane-0 12, lane-1 0' in said
    for name in ('lane-0', 'lane-1', DOOMED):
        assert toy.numbers(tmp_path / 'sweep' / name) == toy.numbers(whole.workdir / name)


def test_no_run_begins_in_the_directory_of_a_sweep(whole: SweepOutcome) -> None:
    before = sorted(path.name for path in whole.workdir.iterdir())
    with pytest.raises(JsslError, match=r'holds a sweep.*--workdir=.*lane-0'):
        jssl.fit(lane(SETTINGS[0]), workdir=whole.workdir)
    assert sorted(path.name for path in whole.workdir.iterdir() if path.name != '.lock') == [
        name for name in before if name != '.lock'
    ]


def test_a_signal_stops_it_after_saving(whole: SweepOutcome, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match='after step 7, which is saved'):
        swept(tmp_path / 'sweep', schedule=toy.stopped_in(7))
    with pytest.raises(JsslError, match='holds another sweep'):
        swept(tmp_path / 'sweep', SETTINGS[:2])
    swept(tmp_path / 'sweep')
    for name in ('lane-0', 'lane-1', DOOMED):
        assert toy.numbers(tmp_path / 'sweep' / name) == toy.numbers(whole.workdir / name)


def test_where_every_lane_diverges_that_is_the_error(tmp_path: Path) -> None:
    for words in ('Every lane has stopped; the first: The loss became', 'clip'):
        with pytest.raises(JsslError, match=words):
            swept(tmp_path / 'sweep', SETTINGS[2:])


def test_the_directory_of_a_run_takes_no_sweep(whole: SweepOutcome) -> None:
    with pytest.raises(JsslError, match='holds a run; give the sweep another'):
        swept(whole.workdir / 'lane-0', SETTINGS[:2])
