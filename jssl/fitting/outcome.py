"""What a run leaves behind: weights for others, a report for people, a table on the terminal."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jssl.algorithm import Params, State, TrainState
from jssl.durations import format_duration
from jssl.errors import attempt
from jssl.evaluation.metrics import Scores
from jssl.fitting.evaluating import RunEvaluator, in_words
from jssl.fitting.pretrained import WEIGHTS
from jssl.interop.safetensors import has_backbone, save_backbone, save_parameters
from jssl.processes import of_first
from jssl.runs.contents import steps_in
from jssl.runs.datasets import told_data
from jssl.runs.describe import describe
from jssl.runs.metrics import (
    BASELINE,
    EVALUATION,
    STEP,
    STOPPED,
    Row,
    metrics_of,
    of_kind,
    seconds_of,
)
from jssl.runs.progress import Progress
from jssl.runs.workdir import CHECKPOINTS
from jssl.training.experiment import Experiment
from jssl.training.sharding import replicated
from jssl.training.skipping import left_out_by, replay_command

REPORT = 'report.html'
PARAMETERS = 'parameters.safetensors'  # of an algorithm without a part called backbone


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What `fit` returns.

    Attributes:
      train_state: after the last step.
      scores: of the last evaluation (`knn`, `linear`, `feature_std`, `rankme`, as far as there are
        any).
      baselines: scores of raw pixels and of the untrained network.
      workdir: the run's directory.
      files: weights and report, as far as they could be written.
      missing: sentences about all that could not be made, pictures too.
      unwritten: whether weights or report are among it.
      stopped_by: the callback that ended the run early, None where none did.
    """

    train_state: TrainState
    scores: Scores
    baselines: dict[str, Scores]
    workdir: Path
    files: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    unwritten: bool = False
    stopped_by: str | None = None


def announce(experiment: Experiment, report: Callable[[str], None]) -> None:
    """Says before the training what the run will not leave behind."""
    if not has_backbone(experiment.state_shapes.params):
        report(
            f'{type(experiment.algorithm).__name__} has no parameters called backbone: all that it '
            f'has are written in the end, under their own names, as {PARAMETERS}'
        )


def conclude(
    experiment: Experiment,
    evaluator: RunEvaluator,
    train_state: TrainState,
    rows: list[Row],
    directory: Path,
    config: Mapping[str, Any],
    progress: Progress,
) -> Outcome:
    """Writes weights and report and shows the table; every process calls it, the first one writes.

    None of them costs another one: of what fails a sentence says why, here and in the report.

    Args:
      experiment, evaluator: what was carried out, and who evaluated it.
      train_state: after the last step.
      rows: of the run's metrics; empty in all processes but the first.
      directory, config: of the run, and what its config.json holds.
      progress: where the table is shown.
    """
    from jssl.fitting import reporting  # which imports matplotlib

    missing: list[str] = []
    step = int(train_state.step)
    tell = _both(missing.append, progress.print)
    gather = jax.jit(lambda tree: tree, out_shardings=replicated(experiment.mesh))
    params, state = gather((train_state.params, train_state.state))
    files: list[Path | None] = []
    if jax.process_index() == 0:
        of_run = experiment, params, state, rows, directory, config
        files.append(write_weights(*of_run, steps=step, tell=tell))
    extract = partial(evaluator.features, step, train_state)
    extracted = attempt('What the report says of the features', extract, tell)
    if jax.process_index() != 0:
        return Outcome(train_state, {}, {}, directory)
    paint = partial(reporting.picture_reconstructions, experiment, *jax.device_get((params, state)))
    painted = attempt('The picture of reconstructions', paint, tell)
    if painted is not None:
        progress.print(f'{"reconstructions":<16} {painted.summary}')
    outcome = in_rows(train_state, rows, directory)
    known = reporting.Known(
        *(rows, outcome.scores, outcome.baselines, config),
        epochs=step / experiment.plan.steps_per_epoch,
        seconds=seconds_of(rows),
        stopped_by=outcome.stopped_by,
        features=extracted,
        painted=painted,
        missing=missing,
    )
    progress.print('drawing the report')
    write = partial(reporting.report, experiment, evaluator, directory / REPORT, known, tell)
    files.insert(0, attempt('The report', write, tell))
    written = tuple(path for path in files if path is not None)
    outcome = dataclasses.replace(
        outcome, files=written, missing=tuple(missing), unwritten=len(written) < len(files)
    )
    show_table(outcome, rows, progress)
    return outcome


def write_weights(
    experiment: Experiment,
    params: Params,
    state: State,
    rows: Sequence[Row],
    directory: Path,
    config: Mapping[str, Any],
    *,
    steps: int,
    tell: Callable[[str], None],
) -> Path | None:
    """The file of weights of a run, see `conclude`; None where it cannot be written."""
    told = {'data': told_data(config['config']), 'scores': final_scores(rows) or None}
    write = partial(export, experiment, params, state, directory, steps=steps, **told)
    return attempt('The file of weights', write, tell)


def left_behind(
    train_state: TrainState, rows: Sequence[Row], directory: Path, progress: Progress
) -> Outcome | None:
    """The outcome of a run that has ended before, and says so; None where a file of it is gone.

    Every process calls it; for the arguments see `conclude`.
    """
    weights = WEIGHTS if has_backbone(train_state.params) else PARAMETERS
    files = (directory / REPORT, directory / weights)
    if not of_first(all(file.is_file() for file in files)):
        return None
    outcome = dataclasses.replace(in_rows(train_state, rows, directory), files=files)
    progress.print(
        f'this run has ended before, and its files are left as they are; remove {files[0]} to have '
        'it drawn anew'
    )
    show_table(outcome, rows, progress)
    return outcome


def _both(*told: Callable[[str], None]) -> Callable[[str], None]:
    """Tells all of them."""

    def tell(sentence: str) -> None:
        for one in told:
            one(sentence)

    return tell


def in_rows(train_state: TrainState, rows: Sequence[Row], directory: Path) -> Outcome:
    """The outcome as far as the metrics tell it."""
    return Outcome(
        train_state,
        final_scores(rows),
        baseline_scores(rows),
        directory,
        stopped_by=next((row['subject'] for row in of_kind(rows, STOPPED)), None),
    )


def export(
    experiment: Experiment, params: Params, state: State, directory: Path, **told: Any
) -> Path:
    """Writes the backbone, or all parameters where no part of them is called so.

    `told` is what the file says of the run besides, such as its scores.
    """
    about = describe(
        getattr(experiment.algorithm, 'backbone', None),
        experiment.eval_view,
        experiment.canvas,
        experiment.channels,
        algorithm=type(experiment.algorithm).__name__,
        epochs=experiment.epochs,
        batch_size=experiment.batch_size,
        images=len(experiment.data),
        **told,
    )
    weights, stats = experiment.algorithm.kept(params, state)
    if has_backbone(weights):
        save_backbone(directory / WEIGHTS, weights, stats, metadata=about)
        return directory / WEIGHTS
    save_parameters(directory / PARAMETERS, params, metadata=about)
    return directory / PARAMETERS


def final_scores(rows: Sequence[Row]) -> Scores:
    """The last evaluation of a run."""
    found = of_kind(rows, EVALUATION)
    return metrics_of(found[-1]) if found else {}


def baseline_scores(rows: Sequence[Row]) -> dict[str, Scores]:
    """What raw pixels and the untrained network score, as measured before the first step."""
    return {row['subject']: metrics_of(row) for row in of_kind(rows, BASELINE)}


def show_table(outcome: Outcome, rows: Sequence[Row], progress: Progress) -> None:
    """The result beside the baselines, the steps that were left out, and where everything is."""
    for name, scores in {**outcome.baselines, 'this run': outcome.scores}.items():
        progress.print(f'  {name:<16} {in_words(scores)}')
    progress.print(f'  took {format_duration(seconds_of(rows))}')
    for sentence in left_out(rows, outcome.workdir):
        progress.print(f'  {sentence}')
    for file in outcome.files:
        progress.print(f'  {file}')


def left_out(rows: Sequence[Row], directory: Path) -> Iterator[str]:
    """Says how many steps `config.non_finite='skip'` left out, where there are any."""
    steps = of_kind(rows, STEP)
    skipped = steps[-1].get('skipped') if steps else None
    last = left_out_by(steps, skipped) if skipped else None
    if skipped and last:
        command = replay_command(directory, last, steps_in(directory / CHECKPOINTS))
        yield (
            f'left out {int(skipped)} of {steps[-1]["step"]} steps, whose numbers were not finite, '
            f'the last of them by step {last}: {command}'
        )
