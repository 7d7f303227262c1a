"""SIGTERM and Ctrl-C end a command in one line and with the right status, whatever it is doing."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

STDOUT, STDERR = 1, 2
SIGNALS = (signal.SIGTERM, signal.SIGINT)
SOON = 0.05  # seconds for a callback to end
GRACE = 3.0  # seconds for the program to notice a signal: it cannot while a compiler runs
SHOW_CURSOR = b'\x1b[?25h'  # which a progress bar hides


class Stopped(KeyboardInterrupt):
    """A signal ends the command.

    Attributes:
      number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupted(Exception):
    """The run was told to stop; what it has saved is complete.

    Attributes:
      signal: the number of the signal that stopped it.
    """

    def __init__(self, number: int, step: int | None, workdir: Path) -> None:
        """Puts into words what there is to go on from.

        Args:
          number: of the signal.
          step: the newest that is saved, None where none is.
          workdir: of the run.
        """
        again = f'the same command with --workdir={workdir}'
        where = (
            f'before anything was saved; {again} begins anew.'
            if step is None
            else f'after step {step}, which is saved; {again} continues from there.'
        )
        super().__init__(f'stopped by {signal.Signals(number).name} {where}')
        self.signal = number


def run_command(main: Callable[[], int]) -> int:
    """The exit status of a command line, 143 where SIGTERM ends it and 130 where Ctrl-C does.

    It is the last thing that a program does: further signals are ignored, so that one that comes
    while Python ends changes nothing about what was done and said. After a signal Python does not
    end in its own way either: it would take apart what threads of XLA and the loader still use.

    Args:
      main: runs the command; where it can go on later, it catches `Stopped` and says how.
    """
    handlers = Handlers()
    try:
        with handlers:
            code = main()
    except Stopped as stop:
        say(stop.number)
        code = status(stop)
    except Exception:
        if handlers.stop is None:
            raise
        say(handlers.stop.number)  # a library that was being imported made an error of it
        code = status(handlers.stop)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if code > 128 and not _among_others():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
                stream.flush()
        os._exit(code)
    return code


def _among_others() -> bool:
    """Whether this is one process of a job, whose others wait until it has taken its leave."""
    distributed = getattr(sys.modules.get('jax'), 'distributed', None)
    return distributed is not None and distributed.is_initialized()


def status(stop: KeyboardInterrupt) -> int:
    """The exit status of a command that was stopped; Python's own exception is Ctrl-C's."""
    return 128 + getattr(stop, 'number', signal.SIGINT)


def say(number: int) -> None:
    """Says which signal ended the command."""
    # Unlike print, this is safe when the signal arrives in the middle of another print.
    with contextlib.suppress(OSError):
        os.write(STDERR, f'jssl: stopped by {signal.Signals(number).name}.\n'.encode())


class Handlers:
    """Context in which a signal raises `Stopped`, also where Python itself would end at once.

    Python calls a handler between two of its own instructions. Where one of them goes on for
    minutes, as a compilation does, a thread ends the process after `GRACE` seconds instead. Where
    Python drops what is raised, in a finalizer or a callback of its garbage collector, the signal
    is sent again. The handlers found on entry are put back on exit, and a signal that is ignored
    stays so.

    Attributes:
      stop: what was raised last; None as long as no signal came.
    """

    def __init__(self) -> None:
        self.stop: Stopped | None = None
        self._previous: dict[int, Any] = {}
        self._noticed = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # where Python allows no handlers
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._stop)
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._dropped
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is None:
            return
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed by Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wakeup)
        sys.unraisablehook = self._unraisable
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        self._noticed.set()
        self.stop = Stopped(number)
        raise self.stop

    def _dropped(self, unraisable: 'sys.UnraisableHookArgs') -> None:
        if unraisable.exc_value is None or unraisable.exc_value is not self.stop:
            self._unraisable(unraisable)
            return
        again = threading.Timer(SOON, os.kill, (os.getpid(), self.stop.number))
        again.daemon = True
        again.start()

    def _watch(self) -> None:
        """Reads the numbers of signals, which come here at once, until the pipe is closed."""
        while byte := os.read(self._read, 1):
            number = byte[0]
            ours = signal.getsignal(number) == self._stop  # else the train loop sees to it
            if ours and not self._noticed.wait(GRACE):
                if sys.stdout.isatty():
                    os.write(STDOUT, SHOW_CURSOR)
                say(number)
                os._exit(128 + number)
