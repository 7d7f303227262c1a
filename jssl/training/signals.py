"""SIGTERM and Ctrl-C as a flag that the train loop reads between two steps."""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import jax

STDERR = 2
NOTICE = 'jssl: stopping after this step{hint}\n'


class StopSignal:
    """Context in which SIGTERM and the first Ctrl-C ask the run to save and stop.

    A second Ctrl-C stops at once: it is left to the handler found on entry, which by default raises
    `KeyboardInterrupt`. The handlers found on entry are put
    back on exit. In a thread other than the main one, where Python allows no handlers, nothing is
    installed. Neither is it in a job of several processes, which must all stop at the same step:
    there JAX passes a SIGTERM on, see `Checkpoints.reached_preemption`.

    It may be entered again, and knows then of a signal that came before.

    Attributes:
      number: the signal that asked, None so far.
    """

    number: int | None

    def __init__(self) -> None:
        self.number = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and jax.process_count() == 1:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed by Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    @property
    def requested(self) -> bool:
        """Whether the run should save and stop."""
        return self.number is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested:
            before = self._previous[number]
            if callable(before):
                before(number, frame)
            raise KeyboardInterrupt
        self.number = number
        hint = '; Ctrl-C again stops at once, unsaved' if number == signal.SIGINT else ''
        # Unlike print, this is safe when the signal arrives in the middle of another print.
        with contextlib.suppress(OSError):
            os.write(STDERR, NOTICE.format(hint=hint).encode())
