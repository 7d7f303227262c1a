"""Batches on the host: which samples step k sees, and their decoded canvases."""

import collections
import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jssl.data.loading.order import Order
from jssl.data.loading.samplers import Sampler, Shuffled
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.reading.batches import BadSample, Batch, Layout, fill, parts
from jssl.data.reading.decoders import Decoders, Processes, Threads
from jssl.data.sources import Source, has_labels
from jssl.data.sources.labels import checked_label, checked_labels, declared_classes
from jssl.data.sources.reading import checked_sample, nearest
from jssl.errors import JsslError

THREADS = min(32, os.cpu_count() or 1)
PREFETCH = 2
RESIDENT_BUDGET = 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Loader:
    """Batches of decoded images: ``loader[step]``, or ``loader.iterate(start_step)`` decoded ahead.

    A batch is ``{'canvas': Canvas, 'index': int32 (B,)}``, its pixels uint8 (B, S, S, C) and sizes
    int32 (B, 2), and ``'label': int32 (B,)`` if the source has labels. B is this process's share of
    the global batch: the shares of all processes, one after another, are the batch of a single
    process. Neither the number of threads, workers nor processes changes a batch.

    Attributes:
      source: the samples.
      batch_size: the global batch size.
      canvas: the side S of the canvases in pixels; larger images are shrunk to fit.
      channels: 3 for RGB, 1 for grey, 4 for RGBA.
      seed: of the order.
      shards: (index of this process, number of processes).
      threads: how many decode at the same time, in each worker if there are any; 0 decodes in the
        thread that asks.
      workers: how many processes decode; 0 decodes in this one.
      prefetch: how many batches are decoded ahead.
      resident: yield ``{'index'}`` alone, for a set whose images (`resident`) are on the device.
      sampler: draws the samples of an epoch.
      labels: (N,) for a sampler that goes by them; None reads those of the source.
      bad_samples: counts broken samples, which are replaced; None allows none.

    Raises:
      JsslError: batch_size does not fit the data set or the number of processes, or there is not
        one label per sample.
    """

    source: Source
    batch_size: int
    canvas: int
    channels: int = 3
    seed: int = 0
    shards: tuple[int, int] = (0, 1)
    threads: int = THREADS
    workers: int = 0
    prefetch: int = PREFETCH
    resident: bool = False
    sampler: Sampler = Shuffled()  # noqa: RUF009  a frozen dataclass
    labels: NDArray[np.integer] | None = dataclasses.field(default=None, repr=False)
    bad_samples: BadSamples | None = None

    def __post_init__(self) -> None:
        Order(len(self.source), self.batch_size, self.seed)  # refuses what does not fit
        if self.batch_size % self.shards[1]:
            raise JsslError(
                f'batch_size is {self.batch_size}, which {self.shards[1]} processes cannot share '
                f'evenly; set it to a multiple of {self.shards[1]}.'
            )

    @functools.cached_property
    def order(self) -> Order:
        """The order of the global batches."""
        labels = self.labels
        if labels is None and self.sampler.by_label:
            labels = read_labels(self.source)
        return Order(len(self.source), self.batch_size, self.seed, self.sampler, labels)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.source) // self.batch_size

    def with_labels(self, labels: NDArray[np.integer] | Sequence[int]) -> Self:
        """The same loader, its sampler going by other `labels`, (N,), such as clusters.

        The samples of an epoch depend on the labels that hold in it: a run that assigns new ones
        after an epoch iterates the new loader from the next epoch's first step on.

        Raises:
          JsslError: not one label per sample.
        """
        if len(labels) != len(self.source):
            raise JsslError(
                f'there are {len(labels)} labels for {len(self.source)} samples; give one each.'
            )
        return dataclasses.replace(self, labels=np.asarray(labels))

    def __getitem__(self, step: int) -> Batch:
        """Batch `step`, counted from 0 over all epochs, decoded in the calling thread.

        Raises:
          JsslError: more images are broken than `bad_samples` allows; the message names the last.
        """
        if step < 0:
            raise IndexError(f'step {step} is negative')
        if self.resident:
            return {'index': self._index(step)}
        batch = self._layout.empty()
        batch['index'][:] = self._index(step)
        self._record(fill(self.source, batch, range(self._layout.rows)))
        return batch

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate()

    def iterate(self, start_step: int = 0) -> Iterator[Batch]:
        """Endless batches from `start_step` on, the same as ``loader[step]``, decoded ahead.

        Raises:
          JsslError: as for ``loader[step]``, or a worker ended or cannot take the source over.
        """
        steps = itertools.count(start_step)
        if self.resident or not (self.threads or self.workers):
            return map(self.__getitem__, steps)
        return self._decode_ahead(steps)

    def _decode_ahead(self, steps: Iterator[int]) -> Iterator[Batch]:
        with contextlib.closing(self._decoders()) as decoders:
            first = itertools.islice(steps, self.prefetch)
            pending = collections.deque(decoders.start(self._index(step)) for step in first)
            for step in steps:
                pending.append(decoders.start(self._index(step)))
                batch, bad_samples = decoders.finish(pending.popleft())
                self._record(bad_samples)
                yield batch

    def _decoders(self) -> Decoders:
        if not self.workers:
            return Threads(self.source, self._layout, self.threads)
        ahead = self.prefetch + 1
        return Processes(self.source, self._layout, self.workers, self.threads, ahead)

    def _index(self, step: int) -> NDArray[np.int32]:
        """The samples of this process's share of batch `step`."""
        first = self.shards[0] * self._layout.rows
        return self.order(step, range(first, first + self._layout.rows))

    def _record(self, bad_samples: list[BadSample]) -> None:
        _count(self.source, self.bad_samples, bad_samples)

    @functools.cached_property
    def _layout(self) -> Layout:
        rows = self.batch_size // self.shards[1]
        return Layout(rows, self.canvas, self.channels, has_labels(self.source))


def read_labels(source: Source) -> NDArray[np.integer] | None:
    """The label of every sample, (N,), and None without labels.

    A source may hold them as `labels`; otherwise every sample is read for its label, and the next
    one for that of a sample that cannot be read.

    Raises:
      JsslError: one that is missing, or no class, or no sample can be read.
    """
    if not has_labels(source):
        return None
    known = getattr(source, 'labels', None)
    if known is not None:
        return checked_labels(known, len(source))

    def label(row: int) -> Any:
        return checked_sample(source, row).get('label')

    classes, every = declared_classes(source), range(len(source))
    return np.array([checked_label(nearest(source, row, label)[0], row, classes) for row in every])


def fits_on_device(
    length: int, canvas: int, channels: int = 3, budget: int = RESIDENT_BUDGET
) -> bool:
    """Whether the canvases of a whole data set stay within `budget` bytes (1 GiB)."""
    return length * canvas * canvas * channels <= budget


def resident(
    source: Source,
    canvas: int,
    channels: int = 3,
    threads: int = THREADS,
    *,
    rows: NDArray[np.integer] | None = None,
    bad_samples: BadSamples | None = None,
) -> Batch:
    """The whole data set, for the device; row i is sample i.

    Args:
      source: N samples.
      canvas: the side S of the canvases in pixels.
      channels: 3 for RGB, 1 for grey, 4 for RGBA.
      threads: how many decode at the same time.
      rows: (M,), only these samples, in this order; None takes all.
      bad_samples: counts broken samples, which are replaced; None allows none.

    Returns:
      ``{'canvas': Canvas}``, its pixels uint8 (N, S, S, C) and sizes int32 (N, 2), and
      ``'label': int32 (N,)`` if the source has labels.

    Raises:
      JsslError: more images are broken than `bad_samples` allows; the message names the last.
    """
    rows = np.arange(len(source)) if rows is None else rows
    data = Layout(len(rows), canvas, channels, has_labels(source)).empty()
    data['index'][:] = rows
    with ThreadPoolExecutor(max(threads, 1), thread_name_prefix='jssl-loader') as pool:
        found = [pool.submit(fill, source, data, part) for part in _chunks(len(rows))]
        try:
            for part in found:
                _count(source, bad_samples, part.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    del data['index']
    return data


def _chunks(rows: int) -> list[range]:
    """Parts short enough that too many broken samples stop the reading early."""
    return parts(range(rows), -(-rows // 64))


def _count(source: Source, bad_samples: BadSamples | None, found: list[BadSample]) -> None:
    """Counts what was broken; without `bad_samples` the first one is an error."""
    counter = bad_samples or BadSamples(len(source), 0.0, report=lambda fault: None)
    for index, broken in found:
        counter.record(index, broken.fault, broken.substitute)
