"""What is written of a run while it trains, and whether its state is worth going on with."""

import dataclasses
import math
from collections.abc import Callable, Mapping

from jssl.algorithm import TrainState
from jssl.data.reading.bad_samples import BadSamples
from jssl.errors import NotFinite
from jssl.evaluation.evaluator import NETWORK
from jssl.optim.schedules import Schedule
from jssl.processes import of_first
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import EPOCH, EVALUATION, STEP, STOPPED, MetricsWriter, of_kind
from jssl.runs.progress import DataWait, Progress, Speed
from jssl.training.finite import not_finite
from jssl.training.plan import Plan
from jssl.training.skipping import left_out_by, replay_command, too_many


@dataclasses.dataclass(frozen=True)
class RunLog:
    """The lines, scores and checkpoints of one run.

    Attributes:
      plan: when to log, evaluate and save.
      evaluate: step, train state -> flat dict of numbers about its features.
      rate: step -> learning rate, for the log; None where optax alone knows it.
      checkpoints: where states are saved.
      writer: where metrics go.
      progress: what a person watches.
      data_wait: watches whether the data come fast enough.
      bad_samples: the broken images so far; their number is logged after every epoch that has some.
      clusters: numbers about the clusters of a state; none for an algorithm without any.
    """

    plan: Plan
    evaluate: Callable[[int, TrainState], dict[str, float]]
    rate: Schedule | None
    checkpoints: Checkpoints
    writer: MetricsWriter
    progress: Progress
    data_wait: DataWait
    bad_samples: BadSamples
    clusters: Callable[[TrainState], dict[str, float]]

    def step(self, step: int, metrics: Mapping[str, float], speed: Speed) -> None:
        """Writes the numbers of a step.

        Where the plan has no line, as where a signal stops the run, they are only looked at: a run
        that is stopped and resumed writes the lines of one that is not.

        Raises:
          NotFinite: the loss is not finite and the step was taken, or too many were left out.
        """
        values = dict(metrics)
        self.data_wait.check(speed.data_wait)
        if self.rate is not None:
            values['lr'] = float(self.rate(step - 1))
        if said := too_many(values, step, last=step == self.plan.steps):
            raise self._left_out(said, step, metrics)
        if not (math.isfinite(values['loss']) or values.get('skipped_in_a_row')):
            said = f'The loss became {values["loss"]} by step {step}'
            raise self._diverged(said, step, metrics)
        if not self.plan.logs(step):
            return
        epoch = step / self.plan.steps_per_epoch
        self.writer.write(step, values | speed._asdict(), kind=STEP, epoch=epoch)
        self.progress.update(step, epoch=epoch, loss=values['loss'], speed=speed)

    def epoch(self, step: int, train_state: TrainState) -> None:
        """What is counted once an epoch: broken images, and how clusters fare."""
        broken = self.bad_samples.count
        found = {'bad_samples': float(broken)} if broken else {}
        if values := found | self.clusters(train_state):
            epoch = step / self.plan.steps_per_epoch
            self.writer.write(step, values, kind=EPOCH, epoch=epoch)

    def scores(self, step: int, train_state: TrainState) -> None:
        """Evaluates the state and writes what was found."""
        scores = self.evaluate(step, train_state)
        epoch = step / self.plan.steps_per_epoch
        self.writer.write(step, scores, kind=EVALUATION, epoch=epoch, subject=NETWORK)

    def stopped(self, step: int, by: str | None) -> None:
        """Writes who, or what, ended the run early."""
        self.writer.write(
            step, {}, kind=STOPPED, epoch=step / self.plan.steps_per_epoch, subject=by
        )

    def check_state(self, step: int, metrics: Mapping[str, float], train_state: TrainState) -> None:
        """Refuses a state that no run can go on from.

        A step's loss is that of the parameters before it: its gradient may not be finite, and so
        what it leaves behind, where the loss still is.

        Raises:
          NotFinite: it holds NaN or infinity.
        """
        if names := not_finite(train_state):
            more = f' and {len(names) - 1} more' if len(names) > 1 else ''
            said = f'Step {step} left NaN or infinity in {names[0]}{more}'
            raise self._diverged(said, step, metrics)

    def _left_out(self, what: str, step: int, metrics: Mapping[str, float]) -> NotFinite:
        """The error of a run that leaves out its steps; it is of the last of them."""
        rows = of_kind(self.writer.rows, STEP)
        seen = None if metrics['skipped_in_a_row'] else left_out_by(rows, metrics['skipped'])
        last = of_first(seen or step)  # the first process alone has rows
        refused = self._diverged(what, step, metrics)
        command = replay_command(self.writer.directory, last, self.checkpoints.steps)
        return NotFinite(f'{refused} `{command}` repeats one of them.', last)

    def _diverged(self, what: str, step: int, metrics: Mapping[str, float]) -> NotFinite:
        """The error of a run that can no longer learn."""
        loss, grad_norm = (float(metrics[name]) for name in ('loss', 'grad_norm'))
        self.checkpoints.wait()
        good = self.checkpoints.latest_step()
        saved = (
            'nothing was saved' if good is None else f'the last good checkpoint is of step {good}'
        )
        return NotFinite(
            f'{what}, with a loss of {loss:.6g} and a gradient norm of {grad_norm:.6g}; {saved}. '
            'Lower config.optimizer.lr, lengthen config.schedule.warmup_epochs or set '
            'config.optimizer.clip, and start in a new --workdir.',
            step,
        )
