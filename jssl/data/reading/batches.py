"""The arrays of a batch, and how samples get into them. Free of JAX: workers start fast."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jssl.data.canvas import Canvas
from jssl.data.reading.bad_samples import read_into
from jssl.data.sources import Source
from jssl.data.sources.labels import checked_label, declared_classes
from jssl.data.sources.reading import Broken

Batch = dict[str, Any]  # `canvas` a `Canvas`, `index` and perhaps `label` arrays
BadSample = tuple[int, Broken]  # the sample that was asked for, and why which other took its place
ALIGNMENT = 64  # bytes, from which JAX takes an array on the CPU over without a copy


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a batch looks like.

    Attributes:
      rows: B.
      canvas: the side S of the canvases in pixels.
      channels: C.
      labelled: whether there are labels.
    """

    rows: int
    canvas: int
    channels: int
    labelled: bool

    @property
    def _shapes(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """The shape and type of each array."""
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            'pixels': ((self.rows, self.canvas, self.canvas, self.channels), np.uint8),
            'size': ((self.rows, 2), np.int32),
            'index': ((self.rows,), np.int32),
        }
        return shapes | ({'label': ((self.rows,), np.int32)} if self.labelled else {})

    @property
    def nbytes(self) -> int:
        """The bytes that `over` needs."""
        return sum(map(_aligned, self._shapes.values()))

    def empty(self) -> Batch:
        """New arrays with nothing in them."""
        return _batch(**{name: np.empty(*array) for name, array in self._shapes.items()})

    def over(self, memory: NDArray[np.uint8]) -> Batch:
        """The arrays one after another in `memory`, (nbytes,)."""
        arrays, start = {}, 0
        for name, (shape, dtype) in self._shapes.items():
            stop = start + math.prod(shape) * np.dtype(dtype).itemsize
            arrays[name] = memory[start:stop].view(dtype).reshape(shape)
            start += _aligned((shape, dtype))
        return _batch(**arrays)


def _batch(pixels: np.ndarray, size: np.ndarray, **rest: np.ndarray) -> Batch:
    return {'canvas': Canvas(pixels, size), **rest}


def _aligned(array: tuple[tuple[int, ...], Any]) -> int:
    """The bytes of an array, up to where the next one may begin."""
    size = math.prod(array[0]) * np.dtype(array[1]).itemsize
    return -(-size // ALIGNMENT) * ALIGNMENT


def parts(rows: range, count: int) -> list[range]:
    """At most `count` ranges of about the same length that make up `rows`."""
    length = max(1, -(-len(rows) // max(count, 1)))
    return [rows[first : first + length] for first in range(0, len(rows), length)]


def fill(source: Source, batch: Batch, rows: range) -> list[BadSample]:
    """Decodes the samples that ``batch['index']`` names into `rows`; tells which were broken.

    Raises:
      JsslError: nothing near a broken sample can be read, or a label is missing or no class.
    """
    canvas: Canvas = batch['canvas']
    classes = declared_classes(source)
    bad_samples = []
    for row in rows:
        index = int(batch['index'][row])
        sample = read_into(source, index, canvas.pixels[row])
        canvas.size[row] = sample.canvas.size
        if 'label' in batch:
            batch['label'][row] = checked_label(sample.label, index, classes)
        if sample.broken is not None:
            bad_samples.append((index, sample.broken))
    return bad_samples
