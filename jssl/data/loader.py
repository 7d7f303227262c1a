"""Batches on the host: which samples step k sees, and their decoded canvases."""

import collections
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from jssl.data.canvas import decode
from jssl.data.sources import Source, has_labels
from jssl.errors import JsslError

Batch = dict[str, np.ndarray]

THREADS = min(32, os.cpu_count() or 1)
PREFETCH = 2
RESIDENT_BUDGET = 2**30


@dataclasses.dataclass(frozen=True)
class Order:
    """The sample order: a pure function of (seed, step), shuffled anew in every epoch.

    An epoch has ``length // batch_size`` steps; no batch holds samples of two epochs, and no sample
    comes twice in an epoch.

    Attributes:
      length: the number of samples.
      batch_size: the global batch size.
      seed: any whole number from 0; different seeds share no epoch's order.

    Raises:
      JsslError: fewer samples than one batch needs, or a negative seed.
    """

    length: int
    batch_size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= self.length:
            raise JsslError(
                f'batch_size is {self.batch_size} and the data set has {self.length} samples; '
                f'set batch_size to a number from 1 to {self.length}, or choose a larger split.'
            )
        if self.seed < 0:
            raise JsslError(f'seed is {self.seed}; set it to a whole number from 0.')

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; the samples that fill none are left out of it."""
        return self.length // self.batch_size

    def __call__(self, step: int, rows: range | None = None) -> NDArray[np.int32]:
        """The samples of batch `step`, int32 (batch_size,), or only those in its `rows`."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        first = epoch * self.length + batch * self.batch_size
        rows = range(self.batch_size) if rows is None else rows
        return np.array([self._samples[first + row] for row in rows], np.int32)

    @functools.cached_property
    def _samples(self) -> Sequence[int]:
        """Grain's endless shuffled sequence of sample numbers."""
        import grain

        # Grain adds the epoch to its seed, so neighbouring seeds would repeat each other's epochs.
        mixed = int(np.random.SeedSequence(self.seed).generate_state(1)[0])
        return grain.MapDataset.range(self.length).shuffle(seed=mixed).repeat()


@dataclasses.dataclass(frozen=True)
class Loader:
    """Batches of decoded images: ``loader[step]``, or ``loader.iterate(start_step)`` by threads.

    A batch is ``{'canvas': uint8 (B, S, S, C), 'size': int32 (B, 2), 'index': int32 (B,)}`` and
    ``'label': int32 (B,)`` if the source has labels. B is this process's share of the global batch:
    the shares of all processes, one after another, are the batch of a single process. Neither the
    number of threads nor that of processes changes a batch.

    Attributes:
      source: the samples.
      batch_size: the global batch size.
      canvas: the side S of the canvases in pixels; larger images are shrunk to fit.
      channels: 3 for RGB, 1 for grey.
      seed: of the order.
      shards: (index of this process, number of processes).
      threads: how many decode at the same time.
      prefetch: how many batches are decoded ahead.
      resident: yield ``{'index'}`` alone, for a set whose images (`resident`) are on the device.

    Raises:
      JsslError: batch_size does not fit the data set or the number of processes.
    """

    source: Source
    batch_size: int
    canvas: int
    channels: int = 3
    seed: int = 0
    shards: tuple[int, int] = (0, 1)
    threads: int = THREADS
    prefetch: int = PREFETCH
    resident: bool = False

    def __post_init__(self) -> None:
        _ = self.order
        if self.batch_size % self.shards[1]:
            raise JsslError(
                f'batch_size is {self.batch_size}, which {self.shards[1]} processes cannot share '
                f'evenly; set it to a multiple of {self.shards[1]}.'
            )

    @functools.cached_property
    def order(self) -> Order:
        """The order of the global batches."""
        return Order(length=len(self.source), batch_size=self.batch_size, seed=self.seed)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.order.steps_per_epoch

    def __getitem__(self, step: int) -> Batch:
        """Batch `step`, counted from 0 over all epochs, decoded in the calling thread.

        Raises:
          JsslError: an image cannot be decoded; the message names its index.
        """
        if step < 0:
            raise IndexError(f'step {step} is negative')
        if self.resident:
            return {'index': self._index(step, range(self._rows))}
        batch = self._empty
        self._load(batch, step, range(self._rows))
        return batch

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate()

    def iterate(self, start_step: int = 0) -> Iterator[Batch]:
        """Endless batches from `start_step` on, the same as ``loader[step]``; threads decode ahead.

        Raises:
          JsslError: an image cannot be decoded; the message names its index.
        """
        steps = itertools.count(start_step)
        return map(self.__getitem__, steps) if self.resident else self._decode_ahead(steps)

    def _decode_ahead(self, steps: Iterator[int]) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix='jssl-loader')
        try:
            first = itertools.islice(steps, self.prefetch)
            pending = collections.deque(self._submit(pool, step) for step in first)
            for step in steps:
                pending.append(self._submit(pool, step))
                yield _finished(*pending.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, step: int) -> tuple[Batch, list[Future[None]]]:
        batch = self._empty
        parts = _parts(self._rows, self.threads)
        return batch, [pool.submit(self._load, batch, step, part) for part in parts]

    def _load(self, batch: Batch, step: int, rows: range) -> None:
        """Fills `rows` of this process's share of batch `step`."""
        batch['index'][rows.start : rows.stop] = self._index(step, rows)
        _fill(self.source, batch, rows)

    def _index(self, step: int, rows: range) -> NDArray[np.int32]:
        first = self.shards[0] * self._rows
        return self.order(step, range(first + rows.start, first + rows.stop))

    @property
    def _rows(self) -> int:
        return self.batch_size // self.shards[1]

    @property
    def _empty(self) -> Batch:
        return _empty(self._rows, self.canvas, self.channels, self._labelled)

    @functools.cached_property
    def _labelled(self) -> bool:
        return has_labels(self.source)


def fits_on_device(
    length: int, canvas: int, channels: int = 3, budget: int = RESIDENT_BUDGET
) -> bool:
    """Whether the canvases of a whole data set stay within `budget` bytes (1 GiB)."""
    return length * canvas * canvas * channels <= budget


def resident(source: Source, canvas: int, channels: int = 3, threads: int = THREADS) -> Batch:
    """The whole data set, for the device; row i is sample i.

    Args:
      source: N samples.
      canvas: the side S of the canvases in pixels.
      channels: 3 for RGB, 1 for grey.
      threads: how many decode at the same time.

    Returns:
      ``{'canvas': uint8 (N, S, S, C), 'size': int32 (N, 2)}``, and ``'label': int32 (N,)`` if the
      source has labels.

    Raises:
      JsslError: an image cannot be decoded; the message names its index.
    """
    data = _empty(len(source), canvas, channels, has_labels(source))
    data['index'][:] = np.arange(len(source))
    with ThreadPoolExecutor(threads, thread_name_prefix='jssl-loader') as pool:
        parts = _parts(len(source), threads)
        _finished(data, [pool.submit(_fill, source, data, part) for part in parts])
    del data['index']
    return data


def _empty(rows: int, canvas: int, channels: int, labelled: bool) -> Batch:
    batch: Batch = {
        'canvas': np.empty((rows, canvas, canvas, channels), np.uint8),
        'size': np.empty((rows, 2), np.int32),
        'index': np.empty(rows, np.int32),
    }
    if labelled:
        batch['label'] = np.empty(rows, np.int32)
    return batch


def _parts(rows: int, count: int) -> list[range]:
    """At most `count` ranges of about the same length that make up ``range(rows)``."""
    length = max(1, -(-rows // count))
    return [range(first, min(first + length, rows)) for first in range(0, rows, length)]


def _fill(source: Source, batch: Batch, rows: range) -> None:
    """Decodes the samples that ``batch['index']`` names into `rows`."""
    channels = batch['canvas'].shape[-1]
    for row in rows:
        index = int(batch['index'][row])
        sample = source[index]
        try:
            image, size = decode(sample['image'], batch['canvas'].shape[1], channels)
        except JsslError as error:
            raise JsslError(f'sample {index} of the data set: {error}') from None
        batch['canvas'][row], batch['size'][row] = image, size
        if 'label' in batch:
            batch['label'][row] = sample['label']


def _finished(batch: Batch, parts: list[Future[None]]) -> Batch:
    """The batch, once all its parts are filled."""
    for part in parts:
        part.result()
    return batch
