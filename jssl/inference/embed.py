"""Features of a whole data set in a table, that whoever is stopped goes on with."""

import contextlib
import dataclasses
import functools
import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jssl.data.canvas import Canvas
from jssl.data.loading.identity import Listing
from jssl.data.loading.loader import THREADS
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.reading.decoding import decode
from jssl.data.sources import Source, has_labels
from jssl.data.sources.labels import NONE
from jssl.data.sources.reading import checked_sample, name_of
from jssl.errors import JsslError, in_words
from jssl.evaluation.features import Extract
from jssl.inference.images import batch_of
from jssl.inference.layers import POOLED, Layer, make_outputs
from jssl.inference.parts import Parts, begin
from jssl.inference.pretrained import BATCH, Pretrained
from jssl.inference.tables import Table, check_ending, write_table
from jssl.lock import LOCK, locked
from jssl.processes import on_all, on_first
from jssl.runs.describe import config_of
from jssl.runs.progress import Progress

ROWS = 1024  # images of a part, at most;
BYTES = 2**26  # and its features
AHEAD = 3  # batches that are decoded before they are needed


class Embedded(NamedTuple):
    """What came of it: the file, its rows, and how many of them are of broken images."""

    path: Path
    rows: int
    broken: int


class _Image(NamedTuple):
    """An image on its canvas; of a broken one an empty canvas, and why."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    label: int
    fault: str | None


def embed(
    network: Pretrained,
    source: Source,
    out: Path | str,
    *,
    layer: Layer = POOLED,
    batch_size: int = BATCH,
    rows: int = ROWS,
    threads: int = THREADS,
) -> Embedded:
    """Writes the features of every image of `source` to a table.

    Rows are computed in parts, beside the table in ``<out>.parts/``; called again after it was
    stopped it goes on from those that are there. A job of several processes shares the parts, and
    each process uses all of its devices. A broken image keeps its row: features NaN, `ok` False.

    Args:
      network: of `jssl.load`.
      source: the images.
      out: a path that ends with .parquet or .npz.
      layer: see `make_outputs`.
      batch_size: images computed at a time.
      rows: of a part at most.
      threads: how many images are decoded at the same time.

    Returns:
      The path of the table, its rows, and how many images are broken.

    Raises:
      JsslError: the table is there already; the parts are of other weights, data or another layer;
        or there is no room.
    """
    path = Path(out).expanduser()
    check_ending(path)
    if path.exists():
        raise JsslError(f'{path} is there already. Give another --out, or remove it first.')
    listing = Listing.of(source)
    shape = output_shape(network, layer)
    length = max(1, min(rows, BYTES // (4 * max(1, int(np.prod(shape))))))
    parts = Parts(path.with_name(f'{path.name}.parts'), len(source), length, shape)
    plan = plan_of(network, layer, length)
    with Progress(len(source)) as progress, contextlib.ExitStack() as stack:
        on_first(
            lambda: _claim(parts.folder, plan, listing, stack, progress),
            f'Process 0 of this job could not write to {parts.folder}.',
        )
        job = Job(network, source, parts, layer, batch_size, threads, progress)
        job.run()
        on_all(True)  # the parts of all processes are there
        broken = job.broken
        on_first(lambda: _conclude(path, source, parts, plan), f'Process 0 could not write {path}.')
    if jax.process_index() == 0:
        parts.remove()
    return Embedded(path, len(source), broken)


def _claim(
    folder: Path, plan: dict[str, Any], listing: Listing, stack: contextlib.ExitStack, progress: Any
) -> None:
    begin(folder, plan, listing)
    lock = locked(folder / LOCK, folder, 'give another --out', report=progress.print)
    stack.enter_context(lock)


def output_shape(network: Pretrained, layer: Layer) -> tuple[int, ...]:
    """The shape of the features of one image, found without computing any."""
    side, channels = network.canvas, network.channels
    canvas = Canvas(jnp.zeros((side, side, channels), jnp.uint8), jnp.array([side, side]))
    outputs = make_outputs(network.algorithm, layer)

    def features() -> jax.Array:
        return outputs(network.params, network.state, network.view(canvas)[None])

    return jax.eval_shape(features).shape[1:]


def plan_of(network: Pretrained, layer: Layer, rows: int) -> dict[str, Any]:
    """What decides about the numbers of a table, besides the data."""
    return {
        'weights': digest(network),
        'view': config_of(network.view) or repr(network.view),
        'canvas': network.canvas,
        'channels': network.channels,
        'layer': str(layer),
        'rows': rows,
    }


def digest(network: Pretrained) -> str:
    """By which weights are known: of their names and all their values."""
    found = hashlib.sha256()
    parts = (network.params, network.state.get('batch_stats', {}))
    for path, leaf in jax.tree.leaves_with_path(parts):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:32]


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
            self.progress.print(f'{done:,} images are there already')
        started, fresh = time.monotonic(), 0
        with ThreadPoolExecutor(max(self.threads, 1), thread_name_prefix='jssl-embed') as pool:
            images = self._decoded(pool, missing)
            try:
                for part in missing:
                    self.parts.write(part, self._compute(part, images))
                    fresh += len(self.parts.range_of(part))
                    speed = fresh / max(time.monotonic() - started, 1e-9)
                    self._show(done + fresh, len(mine), speed)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _show(self, done: int, parts: int, speed: float) -> None:
        """How far the whole job is, if all processes are as far as this one."""
        everything = round(done * self.parts.count / max(parts, 1))
        line = f'{everything:,}/{self.parts.number:,} images  {speed:,.0f} images/s'
        self.progress.show(everything, line)

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

    def _compute(self, part: int, decoded: Iterator[list[_Image]]) -> dict[str, NDArray[Any]]:
        """The arrays of a part."""
        images: list[_Image] = []

        def batches() -> Iterator[dict[str, Any]]:
            for _ in self._chunks(part):
                batch = next(decoded)
                images.extend(batch)
                yield batch_of([(image.pixels, image.size) for image in batch])

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


def _conclude(path: Path, source: Source, parts: Parts, plan: dict[str, Any]) -> None:
    """Makes one table of the parts."""
    labelled = has_labels(source)
    names = getattr(source, 'label_names', None) if labelled else None
    table = Table(ids_of(source), parts.shape, labelled, names, plan)
    try:
        write_table(path, table, parts.all)
    except OSError as error:
        raise JsslError(
            f'{path} cannot be written: {error.strerror or error}. Make room there and repeat the '
            f'command; all features are in {parts.folder}.'
        ) from error


def ids_of(source: Source) -> list[str]:
    """The path of each image, or what else its source calls it, or its number."""
    paths = getattr(source, 'paths', None)
    if paths is not None:
        return list(paths)
    named = getattr(source, 'name_of', str)
    return [str(named(row)) for row in range(len(source))]
