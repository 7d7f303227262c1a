"""Samples that cannot be read or decoded: each gets a substitute, is named once, and is counted."""

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jssl.data.canvas import Canvas
from jssl.data.reading.decoding import decode_into
from jssl.data.sources import Source
from jssl.data.sources.reading import Broken, checked_sample, nearest
from jssl.errors import JsslError

NAMED = 20


class Decoded(NamedTuple):
    """One sample on its canvas.

    Attributes:
      canvas: the image in the top-left corner of (S, S, C).
      label: its class, None without labels.
      broken: why this is another sample than the one asked for; None if it is that one.
    """

    canvas: Canvas
    label: int | None
    broken: Broken | None


def read(source: Source, index: int, canvas: int, channels: int = 3) -> Decoded:
    """Sample `index`, or the nearest following one that can be read and decoded.

    Which one that is depends on the data alone, so a run that is repeated or resumed sees the same
    substitutes. After the last sample comes the first. The label is that of the image returned.

    Args:
      source: N samples.
      index: from 0 to N - 1.
      canvas: the side S of the canvas in pixels.
      channels: 1, 3 or 4, as for `decode`.

    Raises:
      JsslError: none of those that follow can be read, see `nearest`.
    """
    return read_into(source, index, np.empty((canvas, canvas, channels), np.uint8))


def read_into(source: Source, index: int, pixels: NDArray[np.uint8]) -> Decoded:
    """As `read`, onto a canvas (S, S, C) that is there, such as a row of a batch."""
    found, broken = nearest(source, index, lambda row: _decoded(source, row, pixels))
    return Decoded(*found, broken)


def _decoded(source: Source, number: int, pixels: NDArray[np.uint8]) -> tuple[Canvas, int | None]:
    sample = checked_sample(source, number)
    size = np.array(decode_into(sample['image'], pixels), np.int32)
    return Canvas(pixels, size), sample.get('label')


class BadSamples:
    """What is wrong with the data of a run. Any number of threads may record at the same time.

    Attributes:
      length: the number of samples of the data set.
      allowed: which share of them may be broken, from 0 to 1.
      report: is told the first `NAMED` broken samples, each once.
    """

    def __init__(self, length: int, allowed: float, report: Callable[[str], None]) -> None:
        self.length = length
        self.allowed = allowed
        self.report = report
        self._lock = threading.Lock()
        self._broken: set[int] = set()

    @property
    def count(self) -> int:
        """How many different samples were broken."""
        return len(self._broken)

    def record(self, index: int, fault: str, substitute: int | None = None) -> None:
        """Counts sample `index`, asked for in vain; the first time also says so.

        Args:
          index: of the sample.
          fault: what is wrong with it.
          substitute: the sample that takes its place; None if none does.

        Raises:
          JsslError: more than the allowed share of the samples is broken.
        """
        with self._lock:
            known = index in self._broken
            self._broken.add(index)
            if self.count > self.allowed * self.length:
                raise self._too_many(fault)
            if not known:
                self._tell(fault, substitute)

    def _tell(self, fault: str, substitute: int | None) -> None:
        if self.count <= NAMED:
            replaced = f'{fault.rstrip(".")}. Sample {substitute} takes its place.'
            self.report(fault if substitute is None else replaced)
        if self.count == NAMED:
            self.report(f'{NAMED} samples are broken; any more are counted, not named.')

    def _too_many(self, fault: str) -> JsslError:
        return JsslError(
            f'{self.count} of {self.length} samples cannot be read, and config.bad_samples='
            f'{self.allowed} allows {int(self.allowed * self.length)}; repair the data set, or '
            f'raise config.bad_samples to train on substitutes. The last is {fault}'
        )
