"""The loop around the step of a sweep: what `Loop` does for a run, for all lanes at once."""

import dataclasses
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jssl.algorithm import Batch, TrainState
from jssl.errors import JsslError, NotFinite
from jssl.interrupts import Interrupted
from jssl.runs.progress import Meter, Progress, Speed, format_loss, telling
from jssl.training.lanes import Lanes
from jssl.training.loop import DeviceBatch, keep_pace
from jssl.training.run_log import RunLog
from jssl.training.signals import StopSignal

NOT_FINITE = 'NaN or infinity'  # the subject of the last row of a lane that these stopped


@dataclasses.dataclass(eq=False)
class Lane:
    """One setting of a sweep on its way.

    Attributes:
      name: of it, for messages.
      log: of its run.
      over: why it was stopped before the end; empty while it goes on.
    """

    name: str
    log: RunLog
    over: str = ''

    def attempt(self, step: int, act: Callable[[], None]) -> None:
        """Does something with the lane's numbers; it is stopped where they are not finite."""
        try:
            act()
        except NotFinite as error:
            self.over = str(error)
            self.log.stopped(step, NOT_FINITE)
            self.log.progress.print(f'stopped: {self.over}')


@dataclasses.dataclass(frozen=True)
class SweepLoop:
    """Drives all lanes of a sweep to their end.

    Attributes:
      together: how they take their steps.
      lanes: in the order of the sweep's.
      progress: of the whole.
      images: per step of a lane, for the speed.
      workdir: of the sweep, for messages.
    """

    together: Lanes
    lanes: Sequence[Lane]
    progress: Progress
    images: int
    workdir: Path

    def run(
        self, states: Any, first: int, batches: Iterator[Sequence[Batch]], data: DeviceBatch
    ) -> Any:
        """The states after the last step.

        Args:
          states: of all lanes, to begin with.
          first: number of the step to take first, from 1.
          batches: from there on.
          data: the data set.

        Raises:
          Interrupted: on SIGTERM or Ctrl-C, after saving.
          JsslError: no lane is left, or none can be saved.
        """
        plan, meter = self.lanes[0].log.plan, Meter(self.images)
        pending: tuple[int, Any] | None = None
        running: deque[Any] = deque()
        take = telling(self.together.step, self.progress.print)
        with StopSignal() as stop:
            for step in range(first, plan.steps + 1):
                with meter.waiting():
                    batch = next(batches)
                states, metrics = take(states, batch, data)
                if step == first:
                    meter.read(step - 1)  # the start and the compilation are no speed
                keep_pace(running, metrics)
                if pending:
                    self._log(*pending, meter.read(pending[0]))
                pending = (step, metrics) if plan.due(plan.log_every, step) else None
                if plan.due(plan.steps_per_epoch, step):
                    for number, lane in self._going.items():
                        lane.log.epoch(step, self.together.pick(states, number))
                stopping = stop.requested
                if stopping or plan.pauses(step):
                    self._log(step, metrics, meter.read(step))
                    pending = None
                    with meter.paused():
                        self._pause(step, metrics, states, stopping)
                if stopping or (step == plan.steps and stop.requested):
                    self._wait()
                    raise Interrupted(stop.number or signal.SIGTERM, step, self.workdir)
        self._wait()
        return states

    @property
    def _going(self) -> dict[int, Lane]:
        """The lanes that were not stopped, by their number."""
        found = {number: lane for number, lane in enumerate(self.lanes) if not lane.over}
        if not found:
            raise JsslError(f'Every lane has stopped; the first: {self.lanes[0].over}')
        return found

    def _log(self, step: int, metrics: Any, speed: Speed) -> None:
        """Writes the numbers of a step; waits until the device has them."""
        values = self.together.split(metrics)
        for number, lane in self._going.items():
            lane.attempt(step, partial(lane.log.step, step, values[number], speed))
        losses = [values[number]['loss'] for number in self._going]
        low, high = (format_loss(find(losses)) for find in (min, max))
        plan, images = self.lanes[0].log.plan, speed.images_per_second * len(self.lanes)
        line = (
            f'step {step:>{len(str(plan.steps))}}/{plan.steps}  '
            f'epoch {step / plan.steps_per_epoch:.1f}  loss {low} to {high}  '
            f'{len(losses)} lanes  {images:,.0f} images/s'
        )
        if plan.logs(step):
            self.progress.show(step, line)

    def _pause(self, step: int, metrics: Any, states: Any, stopping: bool) -> None:
        """What is due where the loop waits: checks, evaluations, checkpoints.

        All lanes have saved one state before any of them saves the next: a sweep that is killed
        between two saves finds a step that all have.
        """
        values = self.together.split(metrics)
        self._wait()
        for number, lane in self._going.items():
            state = self.together.pick(states, number)
            lane.attempt(step, partial(_look, lane.log, step, values[number], state, stopping))
            if not lane.over and (stopping or lane.log.plan.due(lane.log.plan.save_every, step)):
                lane.log.checkpoints.save(step, state)

    def _wait(self) -> None:
        for lane in self.lanes:
            lane.log.checkpoints.wait()


def _look(
    log: RunLog, step: int, metrics: Mapping[str, float], state: TrainState, stopping: bool
) -> None:
    """Checks a state, and evaluates it where that is due."""
    log.check_state(step, metrics, state)
    if not stopping and log.plan.due(log.plan.evaluate_every, step):
        log.scores(step, state)
