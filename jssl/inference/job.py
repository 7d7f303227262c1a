"""The parts of a table, computed: images are decoded ahead, and the broken ones noted."""

import dataclasses
import functools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jssl.data.reading.bad_samples import BadSamples
from jssl.data.reading.decoding import decode
from jssl.data.sources import Source
from jssl.data.sources.labels import NONE
from jssl.data.sources.reading import checked_sample, name_of
from jssl.errors import in_words
from jssl.evaluation.features import Extract
from jssl.inference.images import batch_of
from jssl.inference.layers import Layer
from jssl.inference.parts import Parts
from jssl.inference.pretrained import Pretrained
from jssl.runs.progress import Progress

EVERY = 5.0  # seconds between two lines of progress
AHEAD = 3  # batches that are decoded before they are needed


class _Image(NamedTuple):
    """An image on its canvas; of a broken one an empty canvas, and why."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    label: int
    fault: str | None


class Clock:
    """Shows every few seconds how far the whole job is, if its processes are equally fast."""

    def __init__(self, done: int, mine: int, parts: Parts, progress: Progress) -> None:
        """Begins with what is there.

        Args:
          done: rows of this process that are there already.
          mine: how many parts are this process's.
          parts: all of them.
          progress: where it is shown.
        """
        self._done, self._fresh = done, 0
        self._share, self._number = parts.count / max(mine, 1), parts.number
        self._progress = progress
        self._started = self._shown = time.monotonic()

    def add(self, rows: int) -> None:
        """Counts rows that are computed."""
        self._fresh += rows
        if time.monotonic() - self._shown > EVERY:
            self.show()

    def show(self) -> None:
        """Shows the rows and the speed."""
        self._shown = time.monotonic()
        everything = min(self._number, round((self._done + self._fresh) * self._share))
        speed = self._fresh * self._share / max(self._shown - self._started, 1e-9)
        line = f'{everything:,}/{self._number:,} images  {speed:,.0f} images/s'
        self._progress.show(everything, line)


@dataclasses.dataclass(eq=False)
class Job:
    """Computes the parts that are missing, and are this process's.

    Attributes:
      network, source, layer, batch_size, threads: as in `embed`.
      parts: where they go.
      progress: shows how far it is.
    """

    network: Pretrained
    source: Source
    parts: Parts
    layer: Layer
    batch_size: int
    threads: int
    progress: Progress

    def run(self) -> None:
        """Returns when all parts of this process are on disk."""
        mine = range(jax.process_index(), self.parts.count, jax.process_count())
        missing = [part for part in mine if not self.parts.is_there(part)]
        done = sum(len(self.parts.range_of(part)) for part in {*mine} - {*missing})
        if done:
            self.progress.print(f'images that are there already: {done:,}')
        clock = Clock(done, len(mine), self.parts, self.progress)
        with ThreadPoolExecutor(max(self.threads, 1), thread_name_prefix='jssl-embed') as pool:
            images = self._decoded(pool, missing)
            try:
                for part in missing:
                    self.parts.write(part, self._compute(part, images, clock))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        clock.show()

    def _chunks(self, part: int) -> list[range]:
        """The rows of a part, batch by batch."""
        rows = self.parts.range_of(part)
        return [
            rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)
        ]

    def _decoded(self, pool: ThreadPoolExecutor, parts: Sequence[int]) -> Iterator[list[_Image]]:
        """The batches of these parts, decoded ahead."""
        pending: deque[list[Future[_Image]]] = deque()
        for chunk in (chunk for part in parts for chunk in self._chunks(part)):
            pending.append([pool.submit(self._read, row) for row in chunk])
            if len(pending) > AHEAD:
                yield [image.result() for image in pending.popleft()]
        for batch in pending:
            yield [image.result() for image in batch]

    def _read(self, row: int) -> _Image:
        network = self.network
        try:
            sample = checked_sample(self.source, row)
            pixels, size = decode(sample['image'], network.canvas, network.channels)
            return _Image(pixels, size, int(sample.get('label', NONE)), None)
        except MemoryError:
            raise
        except Exception as error:  # whatever a source raises is a fault of that sample
            side = network.canvas
            empty = np.zeros((side, side, network.channels), np.uint8)
            fault = f'{name_of(self.source, row)}: {in_words(error)}'
            return _Image(empty, (side, side), self._known_label(row), fault)

    def _known_label(self, row: int) -> int:
        labels = getattr(self.source, 'labels', None)
        return NONE if labels is None else int(labels[row])

    def _compute(
        self, part: int, decoded: Iterator[list[_Image]], clock: Clock
    ) -> dict[str, NDArray[Any]]:
        """The arrays of a part."""
        images: list[_Image] = []

        def batches() -> Iterator[dict[str, Any]]:
            for _ in self._chunks(part):
                batch = next(decoded)
                images.extend(batch)
                yield batch_of([(image.pixels, image.size) for image in batch])
                clock.add(len(batch))

        found = self._extract(*self.network.placed, batches()).features.astype(np.float32)
        for row, image in zip(self.parts.range_of(part), images, strict=True):
            if image.fault is not None:
                self._bad_samples.record(row, image.fault)
        ok = np.array([image.fault is None for image in images])
        found[~ok] = np.nan
        labels = np.array([image.label for image in images], np.int32)
        return {'features': found, 'ok': ok, 'label': labels}

    @property
    def _extract(self) -> Extract:
        return self.network.extract(self.layer)

    @functools.cached_property
    def _bad_samples(self) -> BadSamples:
        return BadSamples(len(self.source), 1.0, self.progress.print)

    @functools.cached_property
    def broken(self) -> int:
        """How many images of the whole table are broken."""
        return sum(int((~part['ok']).sum()) for part in self.parts.all())
