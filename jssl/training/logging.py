"""The numbers of a run: metrics.jsonl, and the same as TensorBoard events."""

import contextlib
import errno
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import jax

from jssl.errors import JsslError

METRICS = 'metrics.jsonl'


class MetricsWriter:
    """Appends to metrics.jsonl and to the TensorBoard events of a run; only process 0 writes.

    A line is one JSON object: `step`, `epoch`, `time` (unix seconds) and the metrics, all numbers.
    JSON has no NaN or infinity: both are written as null.

    Attributes:
      directory: of the run.
    """

    def __init__(self, directory: Path | str) -> None:
        """Opens the files when the first line comes.

        Args:
          directory: of the run; it exists.
        """
        self.directory = Path(directory)
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

    def write(self, step: int, metrics: Mapping[str, Any], *, epoch: float) -> None:
        """Appends one line; a process killed after the return loses nothing of it.

        Args:
          step: number of steps taken.
          metrics: name -> scalar: float, NumPy or JAX, which is waited for.
          epoch: number of epochs taken.

        Raises:
          JsslError: the files cannot be written.
        """
        if not self._active:
            return
        values = {name: float(value) for name, value in metrics.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        now = time.time()
        record = {'step': int(step), 'epoch': float(epoch), 'time': now, **finite}
        try:
            self._append(json.dumps(record).encode() + b'\n')
            self._append_event(int(step), now, values)
        except OSError as error:
            raise self._unwritable(error) from error

    def truncate(self, step: int) -> None:
        """Forgets what was written after `step`, and a last line that a kill cut short.

        A run calls it when it resumes, with the step of its checkpoint; when it begins, with -1.

        Raises:
          JsslError: the file cannot be read or written.
        """
        if not self._active:
            return
        self.close()
        self._resumed_step = step
        try:
            lines = self._path.read_bytes().splitlines() if self._path.exists() else []
            kept = [line + b'\n' for line in lines if _step_of(line) <= step]
            temporary = self._path.with_suffix('.tmp')
            temporary.write_bytes(b''.join(kept))
            os.replace(temporary, self._path)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Closes the files; the next `write` opens them again."""
        for file in (self._lines, self._events):
            if file is not None:
                with contextlib.suppress(OSError):  # `write` has flushed, or has told of the error
                    file.close()
        self._lines = self._events = None

    def _unwritable(self, error: OSError) -> JsslError:
        return JsslError(
            f'Metrics cannot be written to {self.directory}: {error.strerror}. Make room there and '
            'repeat the command, which resumes, or give another --workdir.'
        )

    def _append(self, line: bytes) -> None:
        if self._lines is None:
            self._lines = self._path.open('ab', buffering=0)
        if self._lines.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

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


def _step_of(line: bytes) -> float:
    """The step of a line of metrics.jsonl, infinity when the line is not complete."""
    try:
        return json.loads(line)['step']
    except (ValueError, TypeError, KeyError):
        return math.inf


def read_metrics(path: Path | str) -> list[dict[str, float]]:
    """The lines of a metrics.jsonl, oldest first; null becomes NaN.

    A last line that a kill cut short is left out.

    Raises:
      JsslError: the file is missing, or a line in its middle is not JSON.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise JsslError(
            f'The metrics {path} cannot be read: {error.strerror}. Name the metrics.jsonl of a run.'
        ) from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise JsslError(
                f'Line {number} of {path} is not JSON: {error}. Remove that line.'
            ) from error
        records.append({k: math.nan if v is None else v for k, v in record.items()})
    return records
