"""The folder of a replay in the directory of its run: its numbers, and a picture of its views."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jssl.data.reading.bad_samples import read
from jssl.data.sources.reading import name_of
from jssl.errors import JsslError, attempt
from jssl.files import replace_file
from jssl.fitting.pictures import views_beside
from jssl.fitting.replaying import Replay, Report, find
from jssl.processes import on_first
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import Row
from jssl.runs.orders import Orders
from jssl.training.experiment import Experiment
from jssl.visualization.picture_file import save

REPLAY = 'replay'  # a folder in the run's directory, and in it one for every step
RECORD, VIEWS = 'replay.json', 'views.png'


def explain(
    experiment: Experiment,
    checkpoints: Checkpoints,
    step: int,
    directory: Path,
    *,
    rows: Sequence[Row],
    orders: Orders,
    report: Report,
) -> str:
    """What of a run, whose numbers were found not to be finite by `step`, was so first.

    It repeats the run from its newest checkpoint, or from the beginning where there is none, and
    writes the step that it finds. Every process of a job calls it.

    Returns:
      A sentence for the user.
    """
    found = find(experiment, checkpoints, step, rows, orders, report)
    if found is None:
        return (
            'Repeated from there, every number up to that step was finite: another time these '
            'devices compute otherwise, so suspect them before the settings.'
        )
    path = write(found, experiment, directory, report)
    return f'First not finite: {found.not_finite[0]} in step {found.step}; {path} shows that step.'


def write(replay: Replay, experiment: Experiment, directory: Path, report: Report) -> Path:
    """Writes a replay below a run's directory; every process of a job calls it.

    Returns:
      The folder.

    Raises:
      JsslError: it cannot be written.
    """
    folder = directory / REPLAY / str(replay.step)

    def act() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(record(replay, experiment), indent=1, ensure_ascii=False)
            replace_file(folder / RECORD, (text + '\n').encode())
        except OSError as error:
            raise JsslError(
                f'The replay cannot be written to {folder}: {error.strerror or error}. Make room '
                'there, or let files be written there.'
            ) from error
        attempt('The picture of the views', partial(draw, replay, experiment, folder), report)

    on_first(act, f'Process 0 of this job could not write to {folder}.')
    return folder


def record(replay: Replay, experiment: Experiment) -> dict[str, Any]:
    """What replay.json holds; a number that is not finite is a text, 'nan' or 'inf'."""
    seen = replay.inspection
    index = [int(number) for number in np.asarray(seen.index)]
    return {
        'step': replay.step,
        'epoch': (replay.step - 1) // experiment.plan.steps_per_epoch + 1,
        'repeated_from': replay.start,
        'as_logged': replay.logged,
        'not_finite': replay.not_finite,
        'metrics': as_json(replay.metrics),
        'gradients': as_json(seen.gradients),
        'updates': as_json(seen.updates),
        'index': index,
        'samples': [name_of(experiment.data, number) for number in index],
    }


def as_json(numbers: Mapping[str, Any]) -> dict[str, float | str]:
    """Numbers by name, those that JSON does not have as texts."""
    values = {name: float(value) for name, value in numbers.items()}
    return {name: v if math.isfinite(v) else str(v) for name, v in values.items()}


def draw(replay: Replay, experiment: Experiment, folder: Path) -> None:
    """Draws the first images of the batch beside their views."""
    seen = replay.inspection
    views = [np.asarray(view, np.float32) for view in seen.views]
    if not views:
        raise JsslError('the batch has no views')
    shown = np.asarray(seen.index)[: len(views[0])]
    size = experiment.canvas, experiment.channels
    canvases = [read(experiment.data, int(number), *size).canvas for number in shown]
    mask = None if seen.mask is None else np.asarray(seen.mask)
    save(views_beside(experiment, canvases, views, mask), folder / VIEWS)
