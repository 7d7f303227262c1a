"""The loop around the train step: log, evaluate, save, stop when told.

It waits for the device only where it must. Numbers are logged one step late, when the next step is
already running, so that the device never idles for the sake of a log line.
"""

import dataclasses
import math
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from jssl.algorithm import Metrics, TrainState
from jssl.data.reading.bad_samples import BadSamples
from jssl.errors import JsslError
from jssl.evaluation.evaluator import NETWORK
from jssl.interrupts import Interrupted
from jssl.optim.schedules import Schedule
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import EPOCH, EVALUATION, STEP, STOPPED, MetricsWriter
from jssl.runs.progress import DataWait, Meter, Progress
from jssl.training.callbacks import FAIL, GO_ON, STOP, Callbacks
from jssl.training.finite import not_finite
from jssl.training.plan import Plan
from jssl.training.refresh import Refresher
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
      plan: when to log, evaluate and save.
      evaluate: train state -> flat dict of numbers about its features.
      rate: step -> learning rate, for the log; None where optax alone knows it.
      checkpoints: where states are saved.
      writer: where metrics go.
      progress: what a person watches.
      data_wait: watches whether the data come fast enough.
      bad_samples: the broken images so far; their number is logged after every epoch that has some.
      refresher: what happens between epochs.
      images: per step, for the speed.
      workdir: the run's directory, for messages.
      callbacks: may end the run early.
    """

    step: Step
    plan: Plan
    evaluate: Callable[[int, TrainState], dict[str, float]]
    rate: Schedule | None
    checkpoints: Checkpoints
    writer: MetricsWriter
    progress: Progress
    data_wait: DataWait
    bad_samples: BadSamples
    refresher: Refresher
    images: int
    workdir: Path
    callbacks: Callbacks

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
          JsslError: when the loss, or a state to be saved, is no longer finite, or a
            callback fails.
        """
        meter = Meter(self.images)
        pending: tuple[int, Metrics] | None = None
        running: deque[Metrics] = deque()
        batches: Iterator[DeviceBatch] | None = None
        self.refresher.begin(train_state)
        first = int(train_state.step) + 1
        with StopSignal() as stop:
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
                _keep_pace(running, metrics)
                if pending:
                    self._log(*pending, meter)
                pending = (step, metrics) if self.plan.due(self.plan.log_every, step) else None
                if self.plan.due(self.plan.steps_per_epoch, step):
                    self._log_epoch(step, train_state)
                ended = step == self.plan.steps
                stopping = stop.requested or self.checkpoints.reached_preemption(step)
                if stopping or self.plan.pauses(step):
                    self._log(step, metrics, meter)
                    pending = None
                    with meter.paused():
                        self._check_state(step, metrics, train_state)
                        self._evaluate_and_save(step, train_state, stopping)
                        ended = ended or (not stopping and self._ends(step, train_state))
                if stopping or (ended and stop.requested):
                    self.checkpoints.wait()
                    raise Interrupted(stop.number or signal.SIGTERM, step, self.workdir)
                if ended:
                    break
        return train_state

    def _log(self, step: int, metrics: Metrics, meter: Meter) -> None:
        """Writes the numbers of a step; waits until the device has them.

        Where the plan has no line, as where a signal stops the run, they are only looked at: a run
        that is stopped and resumed writes the lines of one that is not.
        """
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        speed = meter.read(step)
        self.data_wait.check(speed.data_wait)
        if self.rate is not None:
            values['lr'] = float(self.rate(step - 1))
        if not math.isfinite(values['loss']):
            raise self._diverged(f'The loss became {values["loss"]} by step {step}', metrics)
        if not self.plan.logs(step):
            return
        epoch = step / self.plan.steps_per_epoch
        self.writer.write(step, values | speed._asdict(), kind=STEP, epoch=epoch)
        self.progress.update(step, epoch=epoch, loss=values['loss'], speed=speed)

    def _log_epoch(self, step: int, train_state: TrainState) -> None:
        """What is counted once an epoch: broken images, and how clusters fare."""
        broken = self.bad_samples.count
        found = {'bad_samples': float(broken)} if broken else {}
        if values := found | self.refresher.scores(train_state):
            epoch = step / self.plan.steps_per_epoch
            self.writer.write(step, values, kind=EPOCH, epoch=epoch)

    def _evaluate_and_save(self, step: int, train_state: TrainState, stopping: bool) -> None:
        """What is due after a step whose state was found finite."""
        if not stopping and self.plan.due(self.plan.evaluate_every, step):
            self._evaluate(step, train_state)
        if stopping or self.plan.due(self.plan.save_every, step):
            self.checkpoints.save(step, train_state)

    def _evaluate(self, step: int, train_state: TrainState) -> None:
        scores = self.evaluate(step, train_state)
        epoch = step / self.plan.steps_per_epoch
        self.writer.write(step, scores, kind=EVALUATION, epoch=epoch, subject=NETWORK)

    def _ends(self, step: int, train_state: TrainState) -> bool:
        """Whether a callback ends the run here; the state is evaluated and saved then."""
        verdict = self.callbacks.verdict()
        if verdict == GO_ON:
            return False
        if verdict == STOP and not self.plan.due(self.plan.evaluate_every, step):
            self._evaluate(step, train_state)
        self.checkpoints.save(step, train_state)
        self.checkpoints.wait()
        if verdict == FAIL:
            raise self.callbacks.failed(step)
        self.progress.print(f'stopped by {self.callbacks.stopped_by} after step {step}')
        epoch = step / self.plan.steps_per_epoch
        self.writer.write(step, {}, kind=STOPPED, epoch=epoch, subject=self.callbacks.stopped_by)
        return True

    def _check_state(self, step: int, metrics: Metrics, train_state: TrainState) -> None:
        """Raises a `JsslError` for what no run can go on from.

        A step's loss is that of the parameters before it: its gradient may not be finite, and so
        what it leaves behind, where the loss still is.
        """
        if names := not_finite(train_state):
            more = f' and {len(names) - 1} more' if len(names) > 1 else ''
            raise self._diverged(f'Step {step} left NaN or infinity in {names[0]}{more}', metrics)

    def _diverged(self, what: str, metrics: Metrics) -> JsslError:
        """The error of a run that can no longer learn."""
        loss, grad_norm = (float(metrics[name]) for name in ('loss', 'grad_norm'))
        self.checkpoints.wait()
        good = self.checkpoints.latest_step()
        saved = (
            'nothing was saved' if good is None else f'the last good checkpoint is of step {good}'
        )
        return JsslError(
            f'{what}, with a loss of {loss:.6g} and a gradient norm of {grad_norm:.6g}; {saved}. '
            'Lower config.optimizer.lr, lengthen config.schedule.warmup_epochs or set '
            'config.optimizer.clip, and start in a new --workdir.'
        )


def _keep_pace(running: deque[Metrics], metrics: Metrics) -> None:
    """Waits for an earlier step; else the host would queue batches without end."""
    running.append(metrics)
    if len(running) > AHEAD:
        jax.block_until_ready(running.popleft())
