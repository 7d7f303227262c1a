"""`fit`: an experiment, carried out in a directory from the beginning or from where it stopped."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from jssl.algorithm import TrainState
from jssl.data.reading.decoding import quiet
from jssl.errors import NotFinite, attempt
from jssl.evaluation.evaluator import NETWORK
from jssl.fitting.evaluating import RunEvaluator
from jssl.fitting.introducing import check_beforehand, introduce
from jssl.fitting.lengthening import lengthen
from jssl.fitting.outcome import Outcome, conclude, left_behind
from jssl.fitting.pretrained import with_pretrained
from jssl.fitting.replay_folder import explain
from jssl.interrupts import Interrupted, Stopped
from jssl.processes import broken_off, of_first, on_first
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.datasets import check_job_agrees
from jssl.runs.keeping import Keeping
from jssl.runs.metrics import (
    BASELINE,
    EVALUATION,
    METRICS,
    STOPPED,
    MetricsWriter,
    Row,
    Stopwatch,
    last_step,
    of_kind,
)
from jssl.runs.orders import ORDERS, Orders, read_orders, write_orders
from jssl.runs.progress import DataWait, Progress, telling
from jssl.runs.record import recordable
from jssl.runs.sameness import RUN, check_job_has_one_command
from jssl.runs.workdir import (
    CHECKPOINTS,
    claimed,
    kept_config,
    make_workdir,
    open_workdir,
    refuse_sweep,
)
from jssl.training.callbacks import Callback, Callbacks
from jssl.training.experiment import Experiment
from jssl.training.feed import Feed
from jssl.training.loop import Loop
from jssl.training.refresh import Refresher
from jssl.training.run_log import RunLog
from jssl.training.settings import ROLL_BACK, Runtime
from jssl.training.watchdog import Watchdog

MOST_TURNS = 3  # orders of the data that are tried from one checkpoint on


def fit(
    experiment: Experiment,
    *,
    workdir: Path | str | None = None,
    name: str = 'run',
    config: Mapping[str, Any] | None = None,
    same_data: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Trains; called again with the same experiment and `workdir`, it resumes.

    The order in which a state is looked for: the newest readable checkpoint of the directory, else
    a fresh one. A directory that holds another experiment or one on other data, or where a run is
    going on, is refused.

    Args:
      experiment: what to do.
      workdir: where the run lives; None makes a new directory under runs/.
      name: what a new directory is called after.
      config: what config.json is to hold; None describes the experiment.
      same_data: files whose sizes or times are not those of the run's beginning hold the same
        images, such as a copy without its times; names and numbers must stay all the same.
      callbacks: what happens besides, see `jssl.Callback`; the same on every process of a job.

    Returns:
      The trained state, the numbers of the last evaluation and the directory.

    Raises:
      JsslError: for anything a user can put right; says how. Of a callback that fails, after
        saving.
      Interrupted: on SIGTERM or Ctrl-C; in training after saving.
    """
    stopwatch = Stopwatch()
    check_beforehand(experiment, workdir, callbacks)
    config = experiment.describe() if config is None else recordable(config)
    with Progress(experiment.plan.steps) as progress, quiet():
        directory = make_workdir(workdir, name)
        refuse_sweep(directory)
        with claimed(directory, report=progress.print) as check:
            check_job_agrees(experiment.listings)
            check_job_has_one_command(directory, config, experiment.listings)
            open_workdir(
                directory,
                config,
                name,
                keeps=experiment.algorithm.keeps,
                defaults=dataclasses.asdict(Runtime()),
                listings=experiment.listings,
                same_data=same_data,
                lengthen=partial(lengthen, experiment, progress.print),
                report=progress.print,
            )
            introduce(experiment, directory, config, progress.print)
            with kept_config(directory, check=check, report=progress.print) as record:
                called = Callbacks(callbacks, directory, progress.print)
                outcome = carry_out(
                    experiment, directory, record, stopwatch, progress, check, called
                )
        called.end(outcome)
        return outcome


def carry_out(
    experiment: Experiment,
    directory: Path,
    config: Mapping[str, Any],
    stopwatch: Stopwatch,
    progress: Progress,
    check: Callable[[], None],
    callbacks: Callbacks,
) -> Outcome:
    """Trains in a directory whose config.json is written, and leaves the results there, as long as
    `check` does not raise."""
    evaluator = RunEvaluator(experiment, progress.print)
    trained = train(
        experiment,
        evaluator,
        directory,
        progress,
        record=config,
        check=check,
        callbacks=callbacks,
        stopwatch=stopwatch,
    )
    try:
        check()
        if trained.before and (found := left_behind(*trained[:2], directory, progress)):
            return found
        return conclude(experiment, evaluator, *trained[:2], directory, config, progress)
    except Stopped as stop:
        raise Interrupted(stop.number, int(trained.train_state.step), directory) from None


class Trained(NamedTuple):
    """The state after the last step, the rows of metrics on the way to it, and whether all of it
    was there before this session."""

    train_state: TrainState
    rows: list[Row]
    before: bool


def train(
    experiment: Experiment,
    evaluator: RunEvaluator,
    directory: Path,
    progress: Progress,
    *,
    record: Mapping[str, Any] = MappingProxyType({}),
    check: Callable[[], None] = lambda: None,
    callbacks: Callbacks | None = None,
    stopwatch: Stopwatch | None = None,
) -> Trained:
    """Takes the steps that are left.

    For `record` see `open_checkpoints`, for `check` see `Checkpoints`.
    """
    callbacks = callbacks or Callbacks()
    experiment.bad_samples.report = progress.print

    def told(row: Row) -> None:
        evaluator.heard(row)
        callbacks.heard(row)

    writer = MetricsWriter(directory, progress.print, check, told, stopwatch)
    of_run = experiment, directory, progress, record, check, callbacks.saved
    checkpoints = open_checkpoints(*of_run, lambda: writer.rows)
    try:
        with (
            Watchdog(lambda: progress.sign, experiment.runtime.stall_minutes),
            checkpoints,
            writer,
        ):
            train_state = begin(experiment, checkpoints, evaluator, writer, progress)
            if is_complete(experiment, train_state, writer.rows, progress.print):
                return Trained(train_state, writer.rows, before=True)
            refresher = Refresher(experiment, evaluator.training_batches, progress.print)
            loop = Loop(
                step=telling(experiment.step, progress.print),
                log=run_log(experiment, evaluator, checkpoints, writer, progress, refresher.scores),
                refresher=refresher,
                images=experiment.batch_size,
                workdir=directory,
                callbacks=callbacks,
            )
            train_state = run_loop(loop, experiment, train_state, evaluator)
            return Trained(train_state, writer.rows, before=False)
    except Stopped as stop:
        raise Interrupted(stop.number, checkpoints.latest_step(), directory) from None
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        raise broken_off(error, progress.sign[1]) from error


def open_checkpoints(
    experiment: Experiment,
    directory: Path,
    progress: Progress,
    record: Mapping[str, Any],
    check: Callable[[], None],
    saved: Callable[[int, Path], None],
    rows: Callable[[], Sequence[Row]],
    keep: int = 1,
) -> Checkpoints:
    """Those of a run, whose config.json holds `record`, and of which at least `keep` stay, and the
    best by its `rows` of metrics; for the rest see `Checkpoints`."""
    options = experiment.runtime.checkpoint
    return Checkpoints(
        directory / CHECKPOINTS,
        keep=max(options.keep, keep),
        kept=Keeping(options.keep_every, options.keep_best, rows, progress.print),
        data=experiment.listings['data'].identity,
        run=record.get(RUN, ''),
        config=record.get('config', {}),
        turns=lambda: len(read_orders(directory).turns),
        check=check,
        report=progress.print,
        saved=saved,
    )


def run_log(
    experiment: Experiment,
    evaluator: RunEvaluator,
    checkpoints: Checkpoints,
    writer: MetricsWriter,
    progress: Progress,
    clusters: Callable[[TrainState], dict[str, float]],
) -> RunLog:
    """What the train loop writes to."""
    return RunLog(
        plan=experiment.plan,
        evaluate=evaluator.evaluate,
        rate=experiment.rate,
        checkpoints=checkpoints,
        writer=writer,
        progress=progress,
        data_wait=DataWait(advice(experiment), progress.print),
        bad_samples=experiment.bad_samples,
        clusters=clusters,
    )


def begin(
    experiment: Experiment,
    checkpoints: Checkpoints,
    evaluator: RunEvaluator,
    writer: MetricsWriter,
    progress: Progress,
) -> TrainState:
    """The state to continue from, or a fresh one with its baselines measured."""
    restored = checkpoints.restore(experiment.placed_state)
    if restored is not None:
        return resume(experiment, *restored, evaluator, writer, progress)
    if read_orders(writer.directory).at(0):
        progress.print(f'beginning in another order than that of the seed, as {ORDERS} says')
    return start(experiment, experiment.make_state, evaluator, writer, progress)


def resume(
    experiment: Experiment,
    train_state: TrainState,
    step: int,
    evaluator: RunEvaluator,
    writer: MetricsWriter,
    progress: Progress,
) -> TrainState:
    """The state of a checkpoint, with what was written after it forgotten."""
    plan = experiment.plan
    writer.truncate(step, logged=[number for number in range(1, step + 1) if plan.logs(number)])
    progress.print(f'resuming after step {step} of {plan.steps}')
    if scores := evaluator.catch_up(writer.rows, step, train_state):
        epoch = step / plan.steps_per_epoch
        writer.write(step, scores, kind=EVALUATION, epoch=epoch, subject=NETWORK)
    return train_state


def start(
    experiment: Experiment,
    make_state: Callable[[], TrainState],
    evaluator: RunEvaluator,
    writer: MetricsWriter,
    progress: Progress,
) -> TrainState:
    """A fresh state with its baselines measured, and with the weights that it is to begin with."""
    if gone := last_step(writer.directory / METRICS):
        progress.print(f'no step of the {gone} taken here was saved; beginning again')
    writer.truncate(-1)
    fresh = make_state()
    train_state = with_pretrained(experiment, fresh, progress.print)  # misfits are told first
    for subject, scores in evaluator.baselines(fresh).items():
        writer.write(0, scores, kind=BASELINE, epoch=0, subject=subject)
    return train_state


def is_complete(
    experiment: Experiment,
    train_state: TrainState,
    rows: Sequence[Row],
    report: Callable[[str], None],
) -> bool:
    """Whether no step is left, or a callback has ended the run where it is; says so."""
    step = int(train_state.step)
    by = next((row['subject'] for row in of_kind(rows, STOPPED) if row['step'] == step), None)
    if by is not None:
        report(f'{by} stopped this run after step {step}; nothing is left to train')
    return bool(of_first(by is not None)) or step == experiment.plan.steps


def run_loop(
    loop: Loop, experiment: Experiment, train_state: TrainState, evaluator: RunEvaluator
) -> TrainState:
    """Trains from `train_state` on; numbers that are not finite end it, or roll it back."""
    orders = read_orders(loop.workdir)
    while True:
        feed = Feed(experiment, loop.refresher, orders)
        try:
            return loop.run(train_state, feed, feed.data)
        except NotFinite as error:
            refused = error.with_traceback(None)  # which would hold on to the state
        if not loop.stop.requested:  # else there may be little time
            refused = explained(refused, experiment, loop, orders)
        if experiment.runtime.non_finite != ROLL_BACK or refused.step is None:
            raise refused
        train_state, orders = roll_back(refused, refused.step, loop, evaluator, orders)


def explained(refused: NotFinite, experiment: Experiment, loop: Loop, orders: Orders) -> NotFinite:
    """The error with what was not finite first, as far as a replay finds it."""
    if refused.step is None:
        return refused
    rows, report = loop.log.writer.rows, loop.log.writer.report
    given = experiment, loop.checkpoints, refused.step, loop.workdir
    look = partial(explain, *given, rows=rows, orders=orders, report=report)
    found = attempt('The replay of the last steps', look, report)
    return NotFinite(' '.join(filter(None, (str(refused), found))), refused.step)


def roll_back(
    refused: NotFinite, step: int, loop: Loop, evaluator: RunEvaluator, orders: Orders
) -> tuple[TrainState, Orders]:
    """The last good state before `step`, and another order from there on, which is recorded.

    Raises:
      NotFinite: `refused`, where other orders from there were of no use.
      Interrupted: a signal had come by then; the same command goes on from there.
    """
    experiment, log = evaluator.experiment, loop.log
    restored = loop.checkpoints.restore(experiment.placed_state, before=step)
    after = 0 if restored is None else restored[1]
    orders = orders.turned(after, step)
    if orders.in_a_row > MOST_TURNS:
        said = f'{refused} So it was in {MOST_TURNS} other orders of the data from step {after} on.'
        raise NotFinite(said, step)
    failed = f'Process 0 of this job could not write to {loop.workdir}.'
    on_first(partial(write_orders, loop.workdir, orders), failed)
    log.progress.print(f'{refused}')
    log.progress.print(f'rolled back to step {after}; from there on in another order')
    if loop.stop.number is not None:
        raise Interrupted(loop.stop.number, None if restored is None else after, loop.workdir)
    given = evaluator, log.writer, log.progress
    if restored is None:
        return start(experiment, experiment.make_state, *given), orders
    return resume(experiment, restored[0], after, *given), orders


def advice(experiment: Experiment) -> str:
    """What makes batches come faster; empty where only row numbers travel."""
    runtime = experiment.runtime
    if experiment.loader.resident:
        return ''
    return (
        f'raise config.threads (now {runtime.threads}; this host has {os.cpu_count()} cores) or, '
        f'above about 16 cores, config.workers (now {runtime.workers}); decode once to the size '
        f'you train on with jssl prepare; lower config.canvas (now '
        f"{experiment.canvas}); or set config.resident='yes' where the set fits on the device."
    )
