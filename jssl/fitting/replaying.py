"""A run repeated up to one of its steps, and what that step saw and computed.

The state of a checkpoint and the number of a step decide all that follows, so that a step is
repeated exactly, on devices like those of the run. `jssl replay` does so, and a run itself when a
number is no longer finite.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jssl.algorithm import Metrics, TrainState
from jssl.data.loading.identity import describe_change, identity_in, same
from jssl.errors import JsslError
from jssl.fitting.evaluating import RunEvaluator
from jssl.fitting.pretrained import with_pretrained
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import METRICS, STEP, Row, metrics_of, of_kind, read_metrics
from jssl.runs.orders import Orders
from jssl.training.experiment import Experiment
from jssl.training.feed import Feed
from jssl.training.finite import not_finite
from jssl.training.inspection import Inspection, make_inspection
from jssl.training.loop import DeviceBatch, on_host
from jssl.training.refresh import Refresher

CLOCKS = ('lr', 'images_per_second', 'data_wait')  # of a line of metrics, not of its step
Report = Callable[[str], None]
NO_TURNS = Orders()
SILENCE = 60.0  # seconds between two lines about how far a repetition is


class Replay(NamedTuple):
    """A step that was repeated.

    Attributes:
      step: its number, from 1.
      start: after which step the repetition began.
      metrics: of the step as the run takes it.
      inspection: what is in it.
      logged: whether the run's metrics say the same of it; None where they have no line of it.
    """

    step: int
    start: int
    metrics: Mapping[str, float]
    inspection: Inspection
    logged: bool | None

    @property
    def not_finite(self) -> list[str]:
        """What is not finite, in the order in which it is computed."""
        return self.inspection.not_finite


@dataclasses.dataclass(eq=False)
class Repetition:
    """A run that is taken up at a state of its own and repeated step by step.

    Attributes:
      experiment: of the run.
      feed: of its batches.
      train_state: where it is.
      report: is told now and then how far that is.
    """

    experiment: Experiment
    feed: Feed
    train_state: TrainState
    report: Report
    _told: float = dataclasses.field(default_factory=time.monotonic)
    _batches: Iterator[DeviceBatch] | None = None

    @classmethod
    def of(
        cls, experiment: Experiment, train_state: TrainState, orders: Orders, report: Report
    ) -> 'Repetition':
        """One that begins with `train_state`, which it takes over."""
        batches = RunEvaluator(experiment, report).training_batches
        feed = Feed(experiment, Refresher(experiment, batches, report), orders)
        return cls(experiment, feed, train_state, report)

    @property
    def step(self) -> int:
        """How many steps have been taken."""
        return int(self.train_state.step)

    def next_batch(self) -> DeviceBatch:
        """What the next step is given; the state is refreshed before where that is due."""
        if self.feed.refresher.due(self.step):
            self.train_state = self.feed.refresher.refresh(self.train_state)
            self._batches = None
        if self._batches is None:
            self._batches = self.feed(self.train_state)
        return next(self._batches)

    def take(self, batch: DeviceBatch) -> Metrics:
        """The run's own step with a batch of `next_batch`."""
        taken = self.experiment.step(self.train_state, batch, self.feed.data)
        self.train_state = taken[0]
        if time.monotonic() - self._told > SILENCE:
            self._told = time.monotonic()
            self.report(f'repeated up to step {self.step:,}')
        return taken[1]

    def forward(self, step: int) -> None:
        """Takes all steps up to `step`."""
        while self.step < step:
            metrics = self.take(self.next_batch())
            jax.block_until_ready(metrics)  # else the host would queue batches without end


def replay(
    experiment: Experiment,
    checkpoints: Checkpoints,
    step: int,
    *,
    rows: Sequence[Row],
    orders: Orders = NO_TURNS,
    from_start: bool = False,
    report: Report = print,
) -> Replay:
    """Repeats a run from its newest checkpoint before `step` to `step`.

    Args:
      experiment: of the run.
      checkpoints: of the run.
      step: the number of the step, from 1.
      rows: the run's metrics.
      orders: the run's.
      from_start: begin with the state before the first step.
      report: is told how far it is.

    Raises:
      JsslError: the run has not come so far, or has no checkpoint before it.
    """
    check_reached(experiment, checkpoints, step, rows)
    found = None if from_start else checkpoints.restore(experiment.placed_state, before=step)
    if found is None and not from_start:
        saved = checkpoints.steps
        goes = saved and min(saved) < experiment.plan.steps
        later = f'give a later --step than {min(saved)}, or ' if goes else ''
        raise JsslError(
            f'There is no checkpoint before step {step} in {checkpoints.directory}'
            f'{f", only of {saved}" if saved else ""}; {later}add --from_start, which repeats all '
            f'{step:,} steps from the beginning.'
        )
    state, start = found or (first_state(experiment, report), 0)
    report(f'repeating steps {start + 1:,} to {step:,}')
    repetition = Repetition.of(experiment, state, orders, report)
    del state, found  # donated
    repetition.forward(step - 1)
    return look(repetition, make_inspection(experiment), start, rows)


def look(
    repetition: Repetition,
    inspect: Callable[..., Inspection],
    start: int,
    rows: Sequence[Row],
) -> Replay:
    """Inspects the next step and takes it; for `start` and `rows` see `replay`."""
    batch = repetition.next_batch()
    inspection = inspect(repetition.train_state, batch, repetition.feed.data)
    metrics = on_host(repetition.take(batch))
    step = repetition.step
    lines = [row for row in of_kind(rows, STEP) if row['step'] == step]
    logged = agrees(metrics, lines[-1]) if lines else None
    return Replay(step, start, metrics, inspection, logged)


def agrees(metrics: Mapping[str, float], line: Row) -> bool:
    """Whether a line of metrics says the same, bit for bit, of all that a step computes."""
    there = {name: value for name, value in metrics_of(line).items() if name not in CLOCKS}
    return metrics.keys() == there.keys() and all(
        there[name] == value or (math.isnan(there[name]) and not math.isfinite(value))
        for name, value in metrics.items()
    )


def first_state(experiment: Experiment, report: Report) -> TrainState:
    """The state before the first step, with the weights that the run begins with."""
    return with_pretrained(experiment, experiment.make_state(), report)


def check_reached(
    experiment: Experiment, checkpoints: Checkpoints, step: int, rows: Sequence[Row]
) -> None:
    """Refuses a step that the run has not taken.

    A step whose number was not finite has no line, nor have those since the last one.

    Raises:
      JsslError: says how far the run has come.
    """
    plan = experiment.plan
    if step > plan.steps:
        raise JsslError(
            f'--step={step} is beyond the run, which has {plan.steps} steps; give --step='
            f'{plan.steps} or less.'
        )
    lines = [row['step'] for row in of_kind(rows, STEP)]
    reached = min(max([*checkpoints.steps, *lines, 0]) + plan.log_every, plan.steps)
    if step > reached:
        raise JsslError(
            f'--step={step} is not reached: by its metrics and checkpoints the run has taken '
            f'{reached} of {plan.steps} steps at most. Give --step={reached} or less, or resume '
            'the run first.'
        )


def check_data(
    workdir: Path, stored: Mapping[str, Any], experiment: Experiment, *, same_data: bool
) -> None:
    """Refuses to repeat steps with other images than the run had.

    Args:
      workdir: of the run.
      stored: the identities of its data, by part.
      experiment: of the run, with the data as they are now.
      same_data: files with other sizes or times hold the same images.

    Raises:
      JsslError: says what changed.
    """
    before, now = identity_in(stored, 'data'), experiment.listings['data']
    if before is None or same(before, now.identity, stamps=not same_data):
        return
    words = describe_change(workdir, 'data', before, now)
    copied = same(before, now.identity, stamps=False)
    more = ', or add --same_data if they are the same images, copied without their times'
    raise JsslError(
        f'config.data is not what the run in {workdir} had: {words}. A replay would see other '
        f'images; put the data back{more if copied else ""}.'
    )


def find(
    experiment: Experiment,
    checkpoints: Checkpoints,
    step: int,
    rows: Sequence[Row],
    orders: Orders,
    report: Report,
) -> Replay | None:
    """The first step up to `step` in which something is not finite; None if there is none.

    The steps since the last line of metrics are looked into first, those before it only if the
    state was not finite by then.
    """
    inspect = make_inspection(experiment)
    for begin in (step - experiment.plan.log_every, 0):
        found = checkpoints.restore(experiment.placed_state, before=step)
        state, start = found or (first_state(experiment, report), 0)
        report(f'repeating steps {start + 1:,} to {step:,}: what was not finite first?')
        repetition = Repetition.of(experiment, state, orders, report)
        del state, found
        repetition.forward(begin - 1)
        if not not_finite(repetition.train_state):
            break
    while repetition.step < step:
        seen = look(repetition, inspect, start, rows)
        if seen.not_finite:
            return seen
    return None


def rows_of(directory: Path) -> list[Row]:
    """The metrics of a run; none where it has written none."""
    path = directory / METRICS
    return read_metrics(path) if path.is_file() else []
