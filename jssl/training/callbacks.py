"""What a user wants to happen after a log line, an evaluation, a checkpoint and at the end."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jssl.errors import JsslError, in_words, show
from jssl.processes import of_first
from jssl.runs.metrics import EPOCH, EVALUATION, STEP, Row, metrics_of

METHODS = ('on_log', 'on_evaluation', 'on_checkpoint', 'on_end')
OF_KIND = {STEP: 'on_log', EPOCH: 'on_log', EVALUATION: 'on_evaluation'}  # of a row of metrics
GO_ON, STOP, FAIL = range(3)  # what the first process tells the others


class StopTraining(Exception):
    """Raised by a callback, it ends the run early, as the answer True does."""


class Callback:
    """What `jssl.fit(..., callbacks=[...])` calls, on the first process of a job alone.

    Write the methods that you need; the others do nothing. Any object with these four does as well.
    They get plain numbers that have been fetched already, and the device goes on meanwhile with the
    step that it has; a method that takes long holds up the steps after it.

    The first three may answer True, or raise `jssl.StopTraining`: the run then ends at the next
    evaluation or checkpoint (at once, where it was asked there), as one that is complete: it is
    evaluated, saved, exported and reported. Any other error ends the run too, after a checkpoint at
    that place; it names the callback, and the same command continues.
    """

    def on_log(self, step: int, metrics: Mapping[str, float]) -> bool | None:
        """After a line of metrics, of a step (`loss`, `lr`) or of an epoch (`bad_samples`).

        Args:
          step: number of steps taken.
          metrics: the line's numbers, and its `epoch`.
        """

    def on_evaluation(self, step: int, scores: Mapping[str, float]) -> bool | None:
        """After an evaluation.

        Args:
          step: number of steps taken.
          scores: such as `knn`, `linear`, `feature_std` and `rankme`, and its `epoch`.
        """

    def on_checkpoint(self, step: int, path: Path) -> bool | None:
        """When a checkpoint is complete, which is some steps after it was begun.

        Args:
          step: its own.
          path: of its folder, which a run removes once there are `config.checkpoint.keep` newer.
        """

    def on_end(self, outcome: Any) -> None:
        """When all is written; not where an error or a signal ends the run.

        Args:
          outcome: what `jssl.fit` returns, see `jssl.fitting.outcome.Outcome`.
        """


class Callbacks:
    """The callbacks of a run, called one after the other, and what they want.

    Attributes:
      stopped_by: the name of the one that wants the run to end; None as long as none does.
      failure: the error of the one that failed, after which none is called any more.
    """

    def __init__(
        self,
        callbacks: Sequence[Callback] = (),
        directory: Path = Path(),
        report: Callable[[str], None] = print,
    ) -> None:
        """Nothing is called yet.

        Args:
          callbacks: see `Callback`.
          directory: of the run, for messages.
          report: is told at once when one fails.

        Raises:
          JsslError: names what is no callback.
        """
        self._callbacks, self._directory = check_callbacks(callbacks), directory
        self._report = report
        self.stopped_by: str | None = None
        self.failure: JsslError | None = None

    def heard(self, row: Row) -> None:
        """Tells of a row of metrics that was written; baselines are no evaluations of the run."""
        if method := OF_KIND.get(row['kind']):
            self._call(method, row['step'], metrics_of(row) | {'epoch': row['epoch']})

    def saved(self, step: int, path: Path) -> None:
        """Tells of a complete checkpoint."""
        self._call('on_checkpoint', step, path)

    def verdict(self) -> int:
        """`GO_ON`, `STOP` or `FAIL`, the same on all processes, each of which calls it."""
        wanted = FAIL if self.failure else STOP if self.stopped_by else GO_ON
        return of_first(wanted) if self._callbacks else GO_ON

    def end(self, outcome: Any) -> None:
        """Tells that all is written.

        Raises:
          JsslError: a callback fails, or has failed after the last step.
        """
        self._call('on_end', None, outcome)
        if self.failure:
            raise self.failure

    def failed(self, step: int) -> JsslError:
        """What a run says that ends because of one, after `step` was saved."""
        error = JsslError(
            f'{self.failure or "A callback of process 0 failed."} Step {step} is saved: mend that '
            f'callback or leave it out, and repeat the command with --workdir={self._directory}, '
            'which continues from there.'
        )
        error.__cause__ = self.failure and self.failure.__cause__
        return error

    def _call(self, method: str, step: int | None, argument: Any) -> None:
        if jax.process_index() != 0 or self.failure:
            return
        for callback in self._callbacks:
            try:
                arguments = (argument,) if step is None else (step, argument)
                answer = getattr(callback, method)(*arguments)
            except StopTraining:
                answer = True
            except Exception as error:  # of a user's own
                at = '' if step is None else f' at step {step}'
                words = in_words(error).rstrip('.')
                self.failure = JsslError(
                    f'The callback {type(callback).__name__} failed in {method}{at}: {words}.'
                )
                self.failure.__cause__ = error
                if step is not None:
                    self._report(f'{self.failure} The run ends where it saves next.')
                return
            if isinstance(answer, bool | np.bool_) and answer and self.stopped_by is None:
                self.stopped_by = type(callback).__name__


def check_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """The callbacks.

    Raises:
      JsslError: names what has not the four methods.
    """
    if isinstance(callbacks, str) or not isinstance(callbacks, Sequence):
        raise JsslError(
            f'callbacks={show(callbacks)} must be a list of callbacks, such as [MyCallback()].'
        )
    for callback in callbacks:
        lacking = [name for name in METHODS if not callable(getattr(callback, name, None))]
        if lacking or isinstance(callback, type):
            raise JsslError(
                f'callbacks has {show(callback)}, which is no callback that was made; give an '
                'object such as MyCallback(), of a class MyCallback(jssl.Callback) with any of the '
                f'methods {", ".join(METHODS)}.'
            )
    return tuple(callbacks)
