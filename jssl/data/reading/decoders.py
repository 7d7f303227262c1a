"""Who decodes: threads of this process, or processes of their own that write into shared memory."""

import contextlib
import copy
import json
import mmap
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from jssl.data.reading.batches import BadSample, Batch, Layout, fill, parts
from jssl.data.sources import Source
from jssl.errors import JsslError

KILLED = 5.0  # seconds in which a worker that was killed has ended
PATIENCE = 600.0  # seconds in which a worker decodes its part of a batch
HANDED_OUT = 4  # batches in shared memory that whoever asked for them may still hold
START = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from jssl.data.reading.worker import main
main(int(sys.argv[2]), int(sys.argv[3]))
"""


class Pending(NamedTuple):
    """A batch in the making.

    Attributes:
      batch: its arrays.
      parts: fill some rows each, and tell which samples were broken.
      block: of the shared memory; -1 in memory of its own.
    """

    batch: Batch
    parts: list[Future[list[BadSample]]]
    block: int = -1

    def bad_samples(self) -> list[BadSample]:
        """What was broken, once all parts are filled."""
        return [fault for part in self.parts for fault in part.result()]


class Decoders(Protocol):
    """Makes batches ahead of their use."""

    def start(self, index: NDArray[np.int32]) -> Pending:
        """Begins to decode the samples `index`, (B,)."""

    def finish(self, pending: Pending) -> tuple[Batch, list[BadSample]]:
        """Waits for a batch; gives it, and which of its samples were broken."""

    def close(self) -> None:
        """Drops what is not finished."""


class Threads:
    """Decodes in threads of this process."""

    def __init__(self, source: Source, layout: Layout, threads: int) -> None:
        """Starts `threads` threads that fill batches of this `layout` from `source`."""
        self._source, self._layout, self._threads = source, layout, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix='jssl-loader')

    def start(self, index: NDArray[np.int32]) -> Pending:
        """Begins to decode the samples `index`, (B,)."""
        batch = self._layout.empty()
        batch['index'][:] = index
        rows = parts(range(len(index)), self._threads)
        return Pending(batch, [self._pool.submit(fill, self._source, batch, part) for part in rows])

    def finish(self, pending: Pending) -> tuple[Batch, list[BadSample]]:
        """Waits for a batch."""
        return pending.batch, pending.bad_samples()

    def close(self) -> None:
        """Drops what is not finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Processes:
    """Decodes in processes of their own, for hosts with more cores than threads can use.

    A worker is a fresh interpreter that imports neither the program that was started nor JAX. It
    lives as long as the pipe to this process, however that one ends, and the memory has no name,
    so nothing is left behind.
    """

    def __init__(
        self, source: Source, layout: Layout, workers: int, threads: int, ahead: int
    ) -> None:
        """Starts the workers and waits until all have the source.

        Args:
          source: the samples; pickled once for all workers.
          layout: of the batches.
          workers: how many processes.
          threads: decode in each of them.
          ahead: how many batches are decoded at the same time.

        Raises:
          JsslError: the source cannot be given to another process, or a worker does not start.
        """
        self._layout, self._count = layout, workers
        job = _pickled((source, layout, threads))
        blocks = ahead + HANDED_OUT
        with _anonymous_file(blocks * layout.nbytes) as file:
            self._memory = mmap.mmap(file, 0)
            self._workers = [Worker(file) for _ in range(workers)]
        self._stop = weakref.finalize(self, _stop, self._workers)
        self._free = list(range(blocks))
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        try:
            self._begin(job)
        except BaseException:
            self._stop()
            raise
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix='jssl-loader')

    def _begin(self, job: bytes) -> None:
        for worker in self._workers:
            worker.send(job)
        for worker in self._workers:
            worker.answer()
            self._idle.put(worker)

    def start(self, index: NDArray[np.int32]) -> Pending:
        """Begins to decode the samples `index`, (B,)."""
        block = self._free.pop()
        batch = self._layout.over(self._bytes(block))
        batch['index'][:] = index
        rows = parts(range(len(index)), self._count)
        return Pending(batch, [self._pool.submit(self._fill, block, part) for part in rows], block)

    def finish(self, pending: Pending) -> tuple[Batch, list[BadSample]]:
        """Waits for a batch; its memory is used again once nothing refers to its arrays."""
        bad_samples = pending.bad_samples()
        if not self._free:  # whoever asks keeps many batches: this one is copied out
            self._free.append(pending.block)
            return copy.deepcopy(pending.batch), bad_samples
        memory = self._bytes(pending.block)
        weakref.finalize(memory, self._free.append, pending.block)
        return self._layout.over(memory), bad_samples

    def close(self) -> None:
        """Ends the workers, whatever they are doing."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stop()

    def _fill(self, block: int, rows: range) -> list[BadSample]:
        """Has `rows` of a block filled by a worker that is idle: there is one for every thread."""
        worker = self._idle.get()
        try:
            worker.send(pickle.dumps((block, rows)))
            return worker.answer()
        finally:
            self._idle.put(worker)

    def _bytes(self, block: int) -> NDArray[np.uint8]:
        size = self._layout.nbytes
        return np.frombuffer(self._memory, np.uint8, size, block * size)


class Worker:
    """A process that decodes, seen from the one that asks it to."""

    def __init__(self, memory: int) -> None:
        """Starts it; `memory` is the number of the file that both map."""
        self._pipe, theirs = Pipe()
        numbers = (theirs.fileno(), memory)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, '-c', START, json.dumps(sys.path), *map(str, numbers)],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the run, which saves and then ends
                env=os.environ | {'JAX_PLATFORMS': 'cpu'},  # accelerators are the run's
            )

    def send(self, message: bytes) -> None:
        """Gives it something to do."""
        with self._alive():
            self._pipe.send_bytes(message)

    def answer(self) -> list[BadSample]:
        """Waits for what it found.

        Raises:
          JsslError: what it raised, that it is gone, or that it hangs.
        """
        with self._alive():
            if not self._pipe.poll(PATIENCE):
                raise _hangs()
            answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        """Ends it at once."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the system itself may wait for ever
            self._process.wait(KILLED)

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> JsslError:
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f'status {status}'
        return JsslError(
            f'a decode worker ended unexpectedly ({how}); SIGKILL mostly means that memory ran '
            'out: lower config.workers, or set it to 0 to decode in threads of the main process.'
        )


def _hangs() -> JsslError:
    return JsslError(
        f'a decode worker has not answered for {PATIENCE / 60:g} minutes: the disk or the network '
        'that the images come from may hang. Look whether they can be read on this host, and '
        'repeat the command, which continues from the newest checkpoint.'
    )


def _stop(workers: Iterable[Worker]) -> None:
    for worker in workers:
        worker.stop()


def _pickled(job: tuple[Source, Layout, int]) -> bytes:
    try:
        return pickle.dumps(job)
    except Exception as error:  # whatever a class of the user's own raises
        raise JsslError(
            f'the data source {type(job[0]).__name__} cannot go to a worker process: {error}; '
            'make it picklable, or set config.workers to 0 to decode in threads.'
        ) from error


@contextlib.contextmanager
def _anonymous_file(size: int) -> Iterator[int]:
    """The number of a file without a name, in memory where the system has such."""
    if sys.platform == 'linux':  # not limited to the size of /dev/shm, which containers keep small
        number = os.memfd_create('jssl-batches')
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    try:
        os.ftruncate(number, size)
        yield number
    finally:
        os.close(number)
