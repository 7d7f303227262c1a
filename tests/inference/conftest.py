"""One tiny run that every test of this folder takes its network from."""

from pathlib import Path
from typing import Any

import pytest

from jssl.algorithm import TrainState
from jssl.cli.train import parse
from jssl.config import experiment
from jssl.fitting.evaluating import RunEvaluator
from jssl.fitting.fit import train
from jssl.fitting.outcome import export
from jssl.runs.progress import Progress
from jssl.runs.record import recordable
from jssl.runs.workdir import open_workdir
from jssl.training.experiment import Experiment
from tests import tiny

PLAIN: dict[str, Any] = {f'views__view__{stage}': 0 for stage in ('jitter', 'gray', 'blur', 'flip')}


def carry_out(found: Experiment, workdir: Path, config: dict[str, Any]) -> TrainState:
    """A run without the report and without its exported weights."""
    open_workdir(workdir, config, 'run', listings=found.listings)
    with Progress(found.plan.steps) as progress:
        evaluator = RunEvaluator(found, progress.print)
        return train(found, evaluator, workdir, progress)[0]


@pytest.fixture(scope='session')
def run(digits_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of SimCLR on 256 digits, which has ended."""
    workdir = tmp_path_factory.mktemp('runs') / 'first'
    given = tiny.arguments(digits_dir, mesh__devices=1, **PLAIN)
    config = recordable(parse(given).config)
    found = experiment(config)
    state = carry_out(found, workdir, config)
    export(found, state.params, state.state, workdir, steps=found.plan.steps)
    return workdir
