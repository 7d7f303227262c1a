"""A job of several processes whose parts wait for one another for ever is ended, with a line each.

JAX ends a job in which a process has died: its heartbeats stop. Those of a process that waits for
ever, such as for a file system, go on; and the others wait for its part of a sum.
"""

import contextlib
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import jax

STDERR = 2
TRY_AGAIN = 75  # the exit status, EX_TEMPFAIL of sysexits.h
TICK = 1.0  # seconds, which are counted: of those in which the process was stopped it knows nothing
GRACE = 5.0  # seconds for the others to say their line; they end soon after the first of them
HOUSE = str(Path(__file__).resolve().parent.parent)

Sign = tuple[int, str]  # how many there were, and the last in words


class Watchdog:
    """Context in which a process of several ends where it shows no sign of life for some minutes.

    It prints a line that says where it is, and ends with the status 75, whatever its other threads
    do; what is saved is complete. A job of one process is left to wait.
    """

    def __init__(self, sign: Callable[[], Sign], minutes: float) -> None:
        """Watches nothing yet.

        Args:
          sign: gives the last sign of life.
          minutes: without a new one, after which the process ends; 0 for never.
        """
        self._sign, self._minutes = sign, minutes
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if jax.process_count() > 1 and self._minutes > 0:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        last, ticks = self._sign(), 0
        while not self._over.wait(TICK):
            ticks = ticks + 1 if self._sign() == last else 0
            last = self._sign()
            if ticks * TICK >= 60 * self._minutes:
                with contextlib.suppress(OSError):
                    os.write(STDERR, f'{self._line(last[1])}\n'.encode())
                time.sleep(GRACE)
                os._exit(TRY_AGAIN)

    def _line(self, last: str) -> str:
        return (
            f'jssl: process {jax.process_index()} of {jax.process_count()} on '
            f'{socket.gethostname()} ends: for {self._minutes:g} minutes (config.stall_minutes) '
            f'nothing has happened after "{last}". It waits in {place()}; a process that waits '
            'elsewhere than the others is the one that hangs. The same command on every host '
            'continues from the newest checkpoint.'
        )


def place() -> str:
    """Where the main thread is: the innermost line of jssl, such as `training/loop.py, line 9`."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    lines = [line for line in traceback.extract_stack(frame) if line.filename.startswith(HOUSE)]
    if not lines:
        return 'a program of your own'
    return f'{Path(lines[-1].filename).relative_to(HOUSE)}, line {lines[-1].lineno}'
