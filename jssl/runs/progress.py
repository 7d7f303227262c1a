"""How fast a run is, and what it shows of that while it runs."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import jax

from jssl.durations import format_duration

if TYPE_CHECKING:
    from rich.console import Console

TOLERATED_WAIT = 0.1
Made = TypeVar('Made')


class Speed(NamedTuple):
    """What a `Meter` measured over an interval."""

    images_per_second: float
    data_wait: float  # share of the time spent waiting for the next batch, 0 to 1


class Meter:
    """Measures the train loop alone: what runs inside `paused` does not count."""

    def __init__(
        self,
        images_per_step: int,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Starts the first interval.

        Args:
          images_per_step: the global batch size.
          clock: gives seconds.
        """
        self._images_per_step = images_per_step
        self._clock = clock
        self._begin(0)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Context for the time blocked in ``next(batches)``."""
        start = self._clock()
        yield
        self._waited += self._clock() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Context for an evaluation or a save."""
        start = self._clock()
        yield
        self._paused += self._clock() - start

    def read(self, step: int) -> Speed:
        """The speed since the last call, and starts the next interval.

        Args:
          step: number of steps that the device has finished. The host may be far ahead of it, so
            read this only once something of that step has been waited for.
        """
        seconds = max(self._clock() - self._start - self._paused, 1e-9)
        images = (step - self._step) * self._images_per_step
        speed = Speed(images / seconds, self._waited / seconds)
        self._begin(step)
        return speed

    def _begin(self, step: int) -> None:
        self._step = step
        self._start = self._clock()
        self._waited = self._paused = 0.0


class DataWait:
    """Says once in a run, and how to mend it, that the device waits for data."""

    def __init__(self, advice: str, report: Callable[[str], None]) -> None:
        """Nothing is known yet.

        Args:
          advice: what to do about it; none is given where it is empty.
          report: is told.
        """
        self._advice = advice
        self._report = report
        self._intervals = 0

    def check(self, share: float) -> None:
        """Looks at the share of an interval, 0 to 1; lets the first pass, in which things start."""
        self._intervals += 1
        if self._advice and self._intervals > 1 and share > TOLERATED_WAIT:
            self._report(f'the device waits for data {share:.0%} of the time: {self._advice}')
            self._advice = ''


def telling(step: Callable[..., Made], report: Callable[[str], None]) -> Callable[..., Made]:
    """`step`, which says at its first call that it is compiled, and then how long that took.

    Args:
      step: a function of `jax.jit`; it is back once the program is made, and not when it has run.
      report: is told.
    """
    called = False

    def told(*arguments: Any) -> Made:
        nonlocal called
        if called:
            return step(*arguments)
        called = True
        report('compiling the step …')
        start = time.monotonic()
        result = step(*arguments)
        report(f'compiled in {format_duration(time.monotonic() - start)}')
        return result

    return told


class Progress:
    """Shows how far a run is: a live bar on a terminal, else one line for each update.

    Only process 0 shows anything.

    Attributes:
      sign: of life, on every process: how many there were, and the last in words.
    """

    def __init__(
        self,
        total: int,
        *,
        console: 'Console | None' = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Shows nothing yet.

        Args:
          total: of what `show` counts, such as the steps of the whole run.
          console: where to; by default standard output.
          clock: gives seconds.
        """
        from rich.console import Console

        if console is None:
            # None lets rich look at TERM; it must not see a terminal where FORCE_COLOR alone is.
            terminal = None if sys.stdout.isatty() else False
            console = Console(force_terminal=terminal, quiet=jax.process_index() != 0)
        self.sign = 0, 'the start'
        self._total = total
        self._console = console
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._live: Any = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, step: int, *, epoch: float, loss: float, speed: Speed) -> None:
        """Shows the state of the run after `step` steps, in 80 characters for all usual runs.

        Args:
          step: number of steps taken.
          epoch: number of epochs taken.
          loss: of the last step.
          speed: of the interval since the last update.
        """
        line = (
            f'step {step:>{len(str(self._total))}}/{self._total}  epoch {epoch:.1f}  '
            f'loss {format_loss(loss)}  {speed.images_per_second:,.0f} images/s  '
            f'wait {100 * speed.data_wait:.0f} %'
        )
        self.show(step, line)

    def show(self, done: int, line: str) -> None:
        """Shows how much of the total is done, in the words of `line`, and the time left."""
        line = f'{line}  {self._remaining(done)} left'
        if self._live is None:
            self.print(line)
            return
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        shown = Text(line, no_wrap=True, overflow='ellipsis')
        self._live.update(Group(shown, ProgressBar(self._total, done)))

    def alive(self, what: str) -> None:
        """Takes note that something has happened."""
        self.sign = self.sign[0] + 1, what

    def print(self, message: str) -> None:
        """Prints a line, above the bar if there is one; letters a terminal lacks as ``\\u2192``."""
        self.alive(message)
        encoding = self._console.encoding
        line = message.encode(encoding, 'backslashreplace').decode(encoding)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _remaining(self, step: int) -> str:
        """Time left at the mean pace since the first update, which came after compilation."""
        now = self._clock()
        if self._first is None:
            self._first = step, now
        steps, seconds = step - self._first[0], now - self._first[1]
        if step >= self._total:
            return format_duration(0)
        return format_duration(seconds / steps * (self._total - step)) if steps > 0 else '?'


def format_loss(loss: float) -> str:
    """Four digits that count, such as ``1.234``."""
    return f'{loss:#.4g}'.rstrip('.')
