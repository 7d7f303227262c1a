"""The numbers of a run: metrics.jsonl, and the same as TensorBoard events."""

import contextlib
import errno
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import jax

from jssl.errors import JsslError
from jssl.files import replace_file

METRICS = 'metrics.jsonl'
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MOST_NAMED = 10  # damaged lines, or missing ones, whose numbers are told
# What a row is about: a step, an epoch, scores of the network, scores of what it has to beat, and
# where a callback stopped the run.
STEP, EPOCH, EVALUATION, BASELINE, STOPPED = 'step', 'epoch', 'evaluation', 'baseline', 'stopped'
TEXTS = ('kind', 'subject')  # fields of a row that are no numbers
NO_METRICS = (*TEXTS, 'step', 'epoch', 'time', 'seconds')
Row = Mapping[str, Any]  # of metrics.jsonl; NaN stands for what was not finite


def metrics_of(row: Row) -> dict[str, float]:
    """The numbers of a row that somebody measured: without what says where and when."""
    return {name: value for name, value in row.items() if name not in NO_METRICS}


def of_kind(rows: Iterable[Row], kind: str) -> list[Row]:
    """The rows of one kind, in their order."""
    return [row for row in rows if row['kind'] == kind]


def seconds_of(rows: Iterable[Row]) -> float:
    """How long a run had taken when the last of these rows was written, over all its sessions."""
    return max((row.get('seconds', 0.0) for row in rows), default=0.0)


class Stopwatch:
    """How long a run has taken, over all its sessions.

    Attributes:
      before: seconds of the sessions before this one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """This session begins; `clock` gives seconds."""
        self._clock, self._started = clock, clock()
        self.before = 0.0

    @property
    def seconds(self) -> float:
        """Up to now."""
        return self.before + self._clock() - self._started


class MetricsWriter:
    """Appends to metrics.jsonl and to the TensorBoard events of a run; only process 0 writes.

    A line is one JSON object: `step`, `epoch`, `time` (unix seconds), `seconds` (that the run has
    taken), `kind` ('step', 'epoch', 'evaluation', 'baseline', 'stopped'), of scores the `subject`
    ('network', 'random network', 'raw pixels'), of a stop the callback's name, and the metrics,
    which are numbers. JSON has no NaN or infinity: both are written as null. TensorBoard has the
    same numbers under ``kind/name``, of a baseline ``baseline/subject/name``.

    Attributes:
      directory: of the run.
      report: is told of damage to the file, and that it was removed.
      rows: what the file holds, oldest first; empty in other processes.
    """

    def __init__(
        self,
        directory: Path | str,
        report: Callable[[str], None] = print,
        check: Callable[[], None] = lambda: None,
        told: Callable[[Row], None] = lambda row: None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        """Opens the files when the first line comes.

        Args:
          directory: of the run; it exists.
          report: see above.
          check: raises a `JsslError` where the directory is no longer this run's; asked before
            anything is written.
          told: of each row once it is written.
          stopwatch: of the run; None starts one.
        """
        self.directory = Path(directory)
        self.report = report
        self._check, self._told = check, told
        self._stopwatch = stopwatch or Stopwatch()
        self.rows: list[Row] = []
        self._path = self.directory / METRICS
        self._active = jax.process_index() == 0
        self._lines: BinaryIO | None = None
        self._events: Any = None
        self._resumed_step: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(
        self,
        step: int,
        metrics: Mapping[str, Any],
        *,
        kind: str,
        epoch: float,
        subject: str | None = None,
    ) -> None:
        """Appends one line; a process killed after the return loses nothing of it.

        Args:
          step: number of steps taken.
          metrics: name -> scalar: float, NumPy or JAX, which is waited for.
          kind: what they are about, such as `STEP`.
          epoch: number of epochs taken.
          subject: whose scores they are, such as ``'network'``; None where they are no scores.

        Raises:
          JsslError: the files cannot be written, the directory is another's by now, or a metric
            has the name of what a row says besides.
        """
        if not self._active:
            return
        self._check()
        _check_names(metrics)
        values = {name: float(value) for name, value in metrics.items()}
        now = time.time()
        row: dict[str, Any] = {'step': int(step), 'epoch': float(epoch), 'time': now}
        row |= {'seconds': self._stopwatch.seconds, 'kind': kind}
        row |= values if subject is None else {'subject': subject, **values}
        try:
            self._append(row)
            self._append_event(int(step), now, {_tag(row, name): values[name] for name in values})
        except OSError as error:
            raise self._unwritable(error) from error
        self._told(row)

    def truncate(self, step: int, logged: Iterable[int] = ()) -> None:
        """Forgets what was written after `step`, and tells of what is damaged or missing.

        A run calls it when it resumes, with the step of its checkpoint; when it begins, with -1. A
        last line that a kill cut short is not worth telling: what it said is trained again.

        Args:
          step: the last one to keep.
          logged: steps of which there must be lines.

        Raises:
          JsslError: the file cannot be read or written.
        """
        if not self._active:
            return
        self._check()
        self.close()
        self._resumed_step = step
        try:
            link = self._path.is_symlink()
            content = self._path.read_bytes() if self._path.exists() else None
            self.rows, damaged = _up_to(step, (content or b'').splitlines(keepends=True))
            self._stopwatch.before = seconds_of(self.rows)
            if content != (whole := b''.join(map(_line, self.rows))) or link:
                replace_file(self._path, whole)
        except OSError as error:
            raise self._unwritable(error) from error
        present = {row['step'] for row in self.rows}
        missing = [number for number in logged if number not in present]
        damage = [f'damaged lines ({_shown(damaged)})'] if damaged else []
        damage += [f'no lines of steps ({_shown(missing)})'] if missing else []
        if step >= 0 and damage:
            self.report(f'{self._path} has {" and ".join(damage)}; its curves have gaps there.')

    def close(self) -> None:
        """Closes the files; the next `write` opens them again."""
        for file in (self._lines, self._events):
            if file is not None:
                with contextlib.suppress(OSError):  # `write` has flushed, or has told of the error
                    file.close()
        self._lines = self._events = None

    def _unwritable(self, error: OSError) -> JsslError:
        remedy = 'Make room there' if error.errno in FULL else 'Let files be written there'
        return JsslError(
            f'Metrics cannot be written to {self._path}: {error.strerror or error}. {remedy} and '
            'repeat the command, which resumes, or give another --workdir.'
        )

    def _append(self, row: Row) -> None:
        if self.rows and not self._in_place():
            self.close()
            replace_file(self._path, b''.join(map(_line, self.rows)))
            self.report(f'{self._path} was removed while the run writes it; it is whole again.')
        if self._lines is None:
            self._lines = self._path.open('ab', buffering=0)
        line = _line(row)
        if self._lines.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.rows.append(row)

    def _in_place(self) -> bool:
        """Whether the file is still there, and the one that was opened."""
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return False
        return self._lines is None or os.path.samestat(found, os.fstat(self._lines.fileno()))

    def _append_event(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Writes a TensorBoard event, here and now: `SummaryWriter` does it in a thread instead,
        which a full disk ends without a word and a kill robs of its queue.
        """
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        if self._events is None:
            suffix = f'.{time.time_ns()}'  # two runs that open it in one second get two files
            self._events = EventsWriter(str(self.directory / 'events'), suffix)
            if self._resumed_step is not None:  # TensorBoard hides older events from there on
                start = SessionLog(status=SessionLog.START)
                first = self._resumed_step + 1
                self._events.write_event(Event(step=first, session_log=start, wall_time=seconds))
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._events.write_event(
            Event(step=step, wall_time=seconds, summary=Summary(value=scalars))
        )
        self._events.flush()


def _up_to(step: int, lines: Sequence[bytes]) -> tuple[list[Row], list[int]]:
    """The rows up to `step`, and the numbers of damaged lines.

    Rows are written in order, so that a later step before the last of them is damage as well.
    """
    rows = [_row(line) for line in lines]
    kept = [(number, row) for number, row in enumerate(rows, 1) if row and row['step'] <= step]
    last = kept[-1][0] if kept else 0
    missing = set(range(1, last + 1)) - {number for number, _ in kept}
    rest = enumerate(zip(rows[last:], lines[last:], strict=True), last + 1)
    broken = {number for number, (row, line) in rest if row is None and line.endswith(b'\n')}
    return [row for _, row in kept], sorted(missing | broken)


def _check_names(metrics: Mapping[str, Any]) -> None:
    """Refuses metrics that would take the place of what else a row says."""
    if taken := sorted(metrics.keys() & {*NO_METRICS}):
        raise JsslError(
            f'A metric is called {taken[0]!r}, which every row of {METRICS} has already. Give it '
            'another name.'
        )


def _shown(numbers: Sequence[int]) -> str:
    """Such as ``2: 3, 17``."""
    rest = ', …' if len(numbers) > MOST_NAMED else ''
    return f'{len(numbers)}: {", ".join(map(str, numbers[:MOST_NAMED]))}{rest}'


def _tag(row: Row, name: str) -> str:
    """What TensorBoard calls a metric of a row."""
    kind = row['kind']
    return f'{kind}/{row["subject"]}/{name}' if kind == BASELINE else f'{kind}/{name}'


def _line(row: Row) -> bytes:
    finite = {
        name: value if name in TEXTS or math.isfinite(value) else None
        for name, value in row.items()
    }
    return json.dumps(finite).encode() + b'\n'


def _row(line: bytes) -> Row | None:
    """What a line of metrics.jsonl says, null as NaN; None where `write` cannot have written it."""
    try:
        row = {name: math.nan if v is None else v for name, v in json.loads(line).items()}
        valid = isinstance(row['kind'], str) and all(map(_is_valid, row.items()))
    except (ValueError, AttributeError, LookupError, OverflowError, RecursionError):
        return None
    step = row.get('step')
    return row if valid and type(step) is int and step >= 0 else None


def _is_valid(field: tuple[str, Any]) -> bool:
    name, value = field
    if name in TEXTS:
        return isinstance(value, str)
    return type(value) in (int, float) and float(value) is not None


def read_metrics(path: Path | str) -> list[Row]:
    """The lines of a metrics.jsonl, oldest first; null becomes NaN.

    A last line that a kill cut short is left out.

    Raises:
      JsslError: the file is missing, or a line before its last one is damaged.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise JsslError(
            f'The metrics {path} cannot be read: {error.strerror}. Name the metrics.jsonl of a run.'
        ) from error
    rows = [_row(line) for line in lines]
    if rows and rows[-1] is None:
        del rows[-1]
    for number, row in enumerate(rows, start=1):
        if row is None:
            raise JsslError(
                f'Line {number} of {path} is no JSON object of numbers with a step and a kind. '
                'Remove that line.'
            )
    return [row for row in rows if row is not None]


def last_step(path: Path) -> int:
    """The largest step of which a metrics.jsonl tells, 0 without any; damaged lines are skipped."""
    if not path.is_file():
        return 0
    rows = map(_row, path.read_bytes().splitlines())
    return max((int(row['step']) for row in rows if row), default=0)
