"""`fit_sweep`: several settings of one experiment, carried out together, each in a run of its own.

Every lane is the directory of a run, as `fit` would have left it with that setting; what follows a
run takes it as it is. The best one has a report. Beside them lie sweep.json, which says what the
lanes are, and the report of the sweep.
"""

import contextlib
import dataclasses
import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jssl.algorithm import TrainState
from jssl.data.reading.decoding import quiet
from jssl.errors import JsslError, attempt
from jssl.files import replace_file
from jssl.fitting.evaluating import RunEvaluator
from jssl.fitting.fit import open_checkpoints, resume, run_log, start
from jssl.fitting.introducing import introduce
from jssl.fitting.outcome import REPORT, conclude, final_scores, left_behind, write_weights
from jssl.fitting.pretrained import check_weights
from jssl.interrupts import Interrupted, Stopped
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import METRICS, STEP, STOPPED, MetricsWriter, of_kind, read_metrics
from jssl.runs.progress import Progress
from jssl.runs.record import recordable
from jssl.runs.workdir import (
    CHECKPOINTS,
    CONFIG,
    SWEEP,
    claimed,
    has_checkpoints,
    kept_config,
    make_workdir,
    open_workdir,
)
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.refresh import Refresher
from jssl.training.rows import as_rows
from jssl.training.settings import Runtime
from jssl.training.shapes import check_shapes
from jssl.training.sweep import Setting, Sweep
from jssl.training.sweep_loop import NOT_FINITE, Lane, SweepLoop
from jssl.visualization.lanes import LaneResult, best_of, text_table

KEPT = 2  # checkpoints at least: a kill may leave the newest of some lanes alone


@dataclasses.dataclass(frozen=True)
class SweepOutcome:
    """What `fit_sweep` returns.

    Attributes:
      results: of every lane.
      best: the lane with the best kNN, or accuracy of a classifier; None without such numbers.
      workdir: of the sweep; the lanes are folders in it.
      unwritten: whether a file that should be there could not be written.
    """

    results: Sequence[LaneResult]
    best: LaneResult | None
    workdir: Path
    unwritten: bool = False


class LaneProgress(Progress):
    """What a lane says, under its name among what the others say.

    Attributes:
      name: of the lane.
    """

    def __init__(self, whole: Progress, name: str) -> None:
        """Says it through `whole`."""
        self._whole, self.name = whole, name

    def print(self, message: str) -> None:
        """Prints a line."""
        self._whole.print(f'{self.name}: {message}')

    def update(self, *_: Any, **__: Any) -> None:
        """Shows nothing: the whole sweep has one line."""


@dataclasses.dataclass(eq=False)
class LaneRun:
    """The run of one lane, whose directory is open.

    Attributes:
      experiment: of its setting.
      directory: of its run.
      config: what config.json holds.
      evaluator, writer, progress: of its run.
      lane: what the loop goes by.
    """

    experiment: Experiment
    directory: Path
    config: Mapping[str, Any]
    evaluator: RunEvaluator
    writer: MetricsWriter
    progress: LaneProgress
    lane: Lane

    @property
    def checkpoints(self) -> Checkpoints:
        """Of its run."""
        return self.lane.log.checkpoints

    def begin(self, done: int, fresh: Callable[[], TrainState]) -> TrainState:
        """The state after `done` steps, of a checkpoint; a fresh one before the first.

        What stands for a lane that an error has stopped is never looked at.
        """
        if self.lane.over:
            self.writer.truncate(self.experiment.plan.steps)
            return fresh()
        if done == 0:
            return start(self.experiment, fresh, self.evaluator, self.writer, self.progress)
        found = self.checkpoints.restore(self.experiment.placed_state, done)
        assert found is not None
        return resume(self.experiment, *found, self.evaluator, self.writer, self.progress)

    def conclude(self, train_state: TrainState, *, before: bool) -> bool:
        """Writes what a run leaves behind, as far as it is not there; whether that worked."""
        rows = self.writer.rows
        if before and left_behind(train_state, rows, self.directory, self.progress):
            return True
        given = self.experiment, self.evaluator, train_state, rows, self.directory
        return not conclude(*given, self.config, self.progress).unwritten

    def export(self, train_state: TrainState) -> bool:
        """Writes the weights alone: drawing a report takes longer than training many a lane."""
        parts = train_state.params, train_state.state
        given = self.experiment, *parts, self.writer.rows, self.directory, self.config
        steps = int(train_state.step)
        return write_weights(*given, steps=steps, tell=self.progress.print) is not None

    def result(self, setting: Setting) -> LaneResult:
        """What came of it."""
        rows = self.writer.rows
        loss = next((row['loss'] for row in reversed(of_kind(rows, STEP))), math.nan)
        scores = final_scores(rows)
        return LaneResult(self.lane.name, setting, rows, loss, scores, self.lane.over)


def fit_sweep(
    sweep: Sweep,
    configs: Sequence[Mapping[str, Any]],
    *,
    workdir: Path | str | None = None,
    name: str = 'run',
    same_data: bool = False,
) -> SweepOutcome:
    """Trains all lanes of a sweep; called again with the same sweep and `workdir`, it resumes.

    Args:
      sweep: what to do.
      configs: of each lane, what its config.json is to hold.
      workdir: where the sweep lives; None makes a new directory under runs/.
      name: what a new directory is called after.
      same_data: see `jssl.fit`.

    Raises:
      JsslError: for anything a user can put right; says how.
      Interrupted: on SIGTERM or Ctrl-C; in training after saving.
    """
    first = sweep.lanes[0]
    if workdir is None or not has_checkpoints(Path(workdir) / lane_name(0)):
        check_weights(first.pretrained, first.layout)
    check_shapes(first, copies=len(sweep.lanes))
    sweep.check()
    with Progress(first.plan.steps) as progress, quiet(), contextlib.ExitStack() as opened:
        directory = make_workdir(workdir, f'{name}-sweep')
        opened.enter_context(claimed(directory, report=progress.print))
        _record(directory, sweep)
        first.bad_samples.report = progress.print
        introduce(first, directory, configs[0], progress.print)
        progress.print(f'{len(sweep.lanes)} lanes of it in one program')
        sweep.share()
        runs: list[LaneRun] = []
        for number, config in enumerate(configs):
            own = LaneProgress(progress, lane_name(number))
            run = _open(sweep.lanes[number], config, directory, own, same_data)
            runs.append(opened.enter_context(run))
            runs[-1].evaluator.share(runs[0].evaluator)
        try:
            return _carry_out(sweep, runs, directory, progress)
        except Stopped as stop:
            done = runs[0].checkpoints.latest_step()
            raise Interrupted(stop.number, done, directory) from None


def lane_name(number: int) -> str:
    """What a lane is called, and its directory in that of the sweep."""
    return f'lane-{number}'


def _record(directory: Path, sweep: Sweep) -> None:
    """Writes sweep.json.

    Raises:
      JsslError: another sweep has begun in the directory, or a run is there.
    """
    lanes = {lane_name(number): recordable(s) for number, s in enumerate(sweep.settings)}
    content = (json.dumps({'lanes': lanes}, indent=2) + '\n').encode()
    path = directory / SWEEP
    if (directory / CONFIG).exists():
        raise JsslError(f'{directory} holds a run; give the sweep another --workdir.')
    begun = any(directory.glob(f'lane-*/{CHECKPOINTS}/[0-9]*'))
    if begun and not path.is_file():
        raise JsslError(
            f'{directory} holds lanes, and {SWEEP} is gone, so it is unknown of which sweep. Put '
            'the file back, or give another --workdir.'
        )
    if begun and path.read_bytes() != content:
        raise JsslError(
            f'{directory} holds another sweep, as {SWEEP} in it says. Give another --workdir, or '
            'the --sweep that began there to resume it.'
        )
    if not begun:
        replace_file(path, content)


@contextlib.contextmanager
def _open(
    experiment: Experiment,
    config: Mapping[str, Any],
    sweep: Path,
    progress: LaneProgress,
    same_data: bool,
) -> Iterator[LaneRun]:
    """The run of a lane, its directory made and locked, its files open."""
    told: dict[str, Any] = {'report': progress.print}
    directory = make_workdir(sweep / progress.name, progress.name)
    with contextlib.ExitStack() as opened:
        check = opened.enter_context(claimed(directory, **told))
        told |= {'keeps': experiment.algorithm.keeps, 'listings': experiment.listings}
        told |= {'defaults': dataclasses.asdict(Runtime())}
        open_workdir(directory, recordable(config), progress.name, **told, same_data=same_data)
        kept = kept_config(directory, check=check, report=progress.print)
        record = opened.enter_context(kept)
        evaluator = RunEvaluator(experiment, progress.print)
        of_run = experiment, directory, progress, record, check
        writer = MetricsWriter(directory, progress.print, check, evaluator.heard)
        saves = open_checkpoints(*of_run, lambda step, path: None, lambda: writer.rows, keep=KEPT)
        checkpoints = opened.enter_context(saves)
        opened.enter_context(writer)
        refresher = Refresher(experiment, evaluator.training_batches, progress.print)
        log = run_log(experiment, evaluator, checkpoints, writer, progress, refresher.scores)
        lane = Lane(progress.name, log, over=_stopped(directory))
        yield LaneRun(experiment, directory, record, evaluator, writer, progress, lane)


def _stopped(directory: Path) -> str:
    """That NaN has stopped the lane of a directory before, in a sentence; empty if not."""
    path = directory / METRICS
    rows = of_kind(read_metrics(path), STOPPED) if path.is_file() else []
    steps = [row['step'] for row in rows if row['subject'] == NOT_FINITE]
    return f'{NOT_FINITE} ended it by step {steps[0]}, before this session' if steps else ''


def _carry_out(
    sweep: Sweep, runs: Sequence[LaneRun], directory: Path, progress: Progress
) -> SweepOutcome:
    """Trains what is left to train, and leaves the results of all lanes."""
    first = sweep.lanes[0]
    done = _common_step(runs, progress.print)
    fresh = [partial(sweep.make_state, number) for number in range(len(runs))]
    begun = [run.begin(done, f) for run, f in zip(runs, fresh, strict=True)]
    states = sweep.together.join(begun)
    before = done == first.plan.steps
    if not before:
        lanes = [run.lane for run in runs]
        loop = SweepLoop(sweep.together, lanes, progress, first.batch_size, directory)
        data = sharding.put_replicated(as_rows(first.arrays), first.mesh)
        states = loop.run(states, done + 1, sweep.batches(done), data)
    results = [run.result(setting) for run, setting in zip(runs, sweep.settings, strict=True)]
    best, written = best_of(results), []
    for number, (run, result) in enumerate(zip(runs, results, strict=True)):
        state = sweep.together.pick(states, number)
        if result is best:
            written.append(run.conclude(state, before=before))
        elif not run.lane.over:
            written.append(run.export(state))
    title = f'{type(first.algorithm).__name__}: {directory.name}'
    written.append(_report(results, title, directory, progress))
    return SweepOutcome(results, best, directory, unwritten=not all(written))


def _common_step(runs: Sequence[LaneRun], report: Callable[[str], None]) -> int:
    """The last step after which every lane that goes on has a checkpoint; 0 without any.

    Raises:
      JsslError: no lane goes on.
    """
    going = [run for run in runs if not run.lane.over]
    if not going:
        raise JsslError(
            f'Every lane of this sweep has stopped; the first: {runs[0].lane.over}. Change what '
            'all of them have in common, such as config.optimizer.clip, and start in a new '
            '--workdir.'
        )
    for run in going:  # raises where none of its checkpoints can be read
        run.checkpoints.restore(run.experiment.placed_state)
    saved = [set(run.checkpoints.steps) for run in going]
    for step in sorted(set.intersection(*saved), reverse=True):
        if all(run.checkpoints.is_whole(step) for run in going):
            return step
    if any(saved):
        last = ', '.join(
            f'{run.progress.name} {max(s, default=0)}' for run, s in zip(going, saved, strict=True)
        )
        report(f'no step was saved by all lanes, so that all begin again; the last ones: {last}')
    return 0


def _report(results: Sequence[LaneResult], title: str, directory: Path, progress: Progress) -> bool:
    """Prints the table of the lanes and writes the report; whether that worked."""
    from jssl.visualization.sweep_report import write_sweep_report  # which imports matplotlib

    best, path = best_of(results), directory / REPORT
    known = {}
    if best is not None:
        run = shlex.quote(str(directory / best.name))
        known = {
            'Features of your own images by the best lane': (
                f'jssl embed {run} --data=folder:photos --out=features.npz'
            ),
            'Its backbone in a file for others': f'jssl export {run} --out={best.name}.safetensors',
        }
    write = partial(
        write_sweep_report, path, title=title, lanes=results, commands=known, tell=progress.print
    )
    written = attempt('The report of the sweep', write, progress.print)
    for line in text_table(results):
        progress.print(line)
    if best is not None:
        progress.print(f'best: {directory / best.name}')
    progress.print(f'  {path}')
    return written is not None
