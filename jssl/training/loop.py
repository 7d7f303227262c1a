"""The loop around the train step: log, evaluate, save, stop when told.

It waits for the device only where it must. Numbers are logged one step late, when the next step is
already running, so that the device never idles for the sake of a log line.
"""

import dataclasses
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from jssl.algorithm import Metrics, TrainState
from jssl.interrupts import Interrupted
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.progress import Meter
from jssl.training.callbacks import FAIL, GO_ON, STOP, Callbacks
from jssl.training.plan import Plan
from jssl.training.refresh import Refresher
from jssl.training.run_log import RunLog
from jssl.training.signals import StopSignal
from jssl.training.step import Step

HostBatch = Mapping[str, np.ndarray]
DeviceBatch = Mapping[str, jax.Array]
AHEAD = 2  # batches on their way to the device, and steps queued on it, while one runs


def to_device(
    batches: Iterable[HostBatch], put: Callable[[HostBatch], DeviceBatch]
) -> Iterator[DeviceBatch]:
    """Starts the transfer of the next batches before the current one is used."""
    queue: deque[DeviceBatch] = deque()
    for batch in batches:
        queue.append(put(batch))
        if len(queue) > AHEAD:
            yield queue.popleft()
    yield from queue


@dataclasses.dataclass(frozen=True)
class Loop:
    """Drives the train step from a state to the end of the run.

    Attributes:
      step: of `make_train_step`.
      log: what is written of the run, and where.
      refresher: what happens between epochs.
      images: per step, for the speed.
      workdir: the run's directory, for messages.
      callbacks: may end the run early.
      stop: whether a signal has asked the run to stop, also where it is rolled back at that step.
    """

    step: Step
    log: RunLog
    refresher: Refresher
    images: int
    workdir: Path
    callbacks: Callbacks
    stop: StopSignal = dataclasses.field(default_factory=StopSignal)

    @property
    def plan(self) -> Plan:
        """When to log, evaluate and save."""
        return self.log.plan

    @property
    def checkpoints(self) -> Checkpoints:
        """Where states are saved."""
        return self.log.checkpoints

    def run(
        self,
        train_state: TrainState,
        feed: Callable[[TrainState], Iterator[DeviceBatch]],
        data: DeviceBatch | None,
    ) -> TrainState:
        """Trains from `train_state` to the end, or to where a callback ends it.

        Args:
          train_state: to begin with.
          feed: gives the batches from a state's step on.
          data: the data set, where it is kept on the devices.

        Raises:
          Interrupted: on SIGTERM or Ctrl-C, after saving.
          JsslError: the loss, or a state to be saved, is not finite, or a callback fails.
        """
        meter = Meter(self.images)
        pending: tuple[int, Metrics] | None = None
        running: deque[Metrics] = deque()
        batches: Iterator[DeviceBatch] | None = None
        first = int(train_state.step) + 1
        self.refresher.begin(self.checkpoints.beside(first - 1))
        with self.stop as stop:
            for step in range(first, self.plan.steps + 1):
                if self.refresher.due(step - 1):
                    if pending:
                        self._log(*pending, meter)
                    pending = None
                    with meter.paused():
                        train_state = self.refresher.refresh(train_state)
                    batches = None  # the order may follow what has changed
                batches = feed(train_state) if batches is None else batches
                with meter.waiting():
                    batch = next(batches)
                train_state, metrics = self.step(train_state, batch, data)
                if step == first:
                    meter.read(step - 1)  # the start and the compilation are no speed
                keep_pace(running, metrics)
                self.log.progress.alive(f'step {step}')
                if pending:
                    self._log(*pending, meter)
                pending = (step, metrics) if self.plan.due(self.plan.log_every, step) else None
                if self.plan.due(self.plan.steps_per_epoch, step):
                    self.log.epoch(step, train_state)
                ended = step == self.plan.steps
                stopping = stop.requested or self.checkpoints.reached_preemption(step)
                if stopping or self.plan.pauses(step):
                    self._log(step, metrics, meter)
                    pending = None
                    with meter.paused():
                        self.log.check_state(step, on_host(metrics), train_state)
                        self._evaluate_and_save(step, train_state, stopping)
                        ended = ended or (not stopping and self._ends(step, train_state))
                if stopping or (ended and stop.requested):
                    self.checkpoints.wait()
                    raise Interrupted(stop.number or signal.SIGTERM, step, self.workdir)
                if ended:
                    break
        return train_state

    def _log(self, step: int, metrics: Metrics, meter: Meter) -> None:
        """Writes the numbers of a step; waits until the device has them."""
        self.log.step(step, on_host(metrics), meter.read(step))

    def _evaluate_and_save(self, step: int, train_state: TrainState, stopping: bool) -> None:
        """What is due after a step whose state was found finite."""
        if not stopping and self.plan.due(self.plan.evaluate_every, step):
            self.log.scores(step, train_state)
        if stopping or self.plan.due(self.plan.save_every, step):
            self._save(step, train_state)

    def _save(self, step: int, train_state: TrainState) -> None:
        """Writes a checkpoint, and beside it what the refresher would not know after a resume."""
        self.checkpoints.save(step, train_state, self.refresher.beside)

    def _ends(self, step: int, train_state: TrainState) -> bool:
        """Whether a callback ends the run here; the state is evaluated and saved then."""
        verdict = self.callbacks.verdict()
        if verdict == GO_ON:
            return False
        if verdict == STOP and not self.plan.due(self.plan.evaluate_every, step):
            self.log.scores(step, train_state)
        self._save(step, train_state)
        self.checkpoints.wait()
        if verdict == FAIL:
            raise self.callbacks.failed(step)
        by = self.callbacks.stopped_by
        self.log.progress.print(f'stopped by {by} after step {step}')
        self.log.stopped(step, by)
        return True


def on_host(metrics: Metrics) -> dict[str, float]:
    """The numbers, once the device has them."""
    return {name: float(value) for name, value in jax.device_get(metrics).items()}


def keep_pace(running: deque[Metrics], metrics: Metrics) -> None:
    """Waits for an earlier step; else the host would queue batches without end."""
    running.append(metrics)
    if len(running) > AHEAD:
        jax.block_until_ready(running.popleft())
