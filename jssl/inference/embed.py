"""Features of a whole data set in a table, that whoever is stopped goes on with."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jssl.data.canvas import Canvas
from jssl.data.loading.identity import Listing
from jssl.data.loading.loader import THREADS
from jssl.data.sources import Source, has_labels
from jssl.errors import JsslError
from jssl.inference.job import Job
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


class Embedded(NamedTuple):
    """What came of it: the file, its rows, and how many of them are of broken images."""

    path: Path
    rows: int
    broken: int


def place_of(out: Path | str) -> Path:
    """Where a table is to be.

    Raises:
      JsslError: its name says no format that there is, or it is there already.
    """
    path = Path(out).expanduser()
    check_ending(path)
    if path.exists():
        raise JsslError(f'{path} is there already. Give another --out, or remove it first.')
    return path


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
    path = place_of(out)
    listing = Listing.of(source)
    shape = output_shape(network, layer)
    length = max(1, min(rows, BYTES // (4 * max(1, int(np.prod(shape))))))
    parts = Parts(path.with_name(f'{path.name}.parts'), len(source), length, shape)
    plan = plan_of(network, layer, length)
    with Progress(len(source)) as progress, contextlib.ExitStack() as stack:
        on_first(
            lambda: _claim(path, parts, plan, listing, stack, progress),
            f'Process 0 of this job could not write to {parts.folder}.',
        )
        job = Job(network, source, parts, layer, batch_size, threads, progress)
        job.run()
        on_all(True)  # the parts of all processes are there
        broken = job.broken
        on_first(lambda: _conclude(path, source, parts, plan), f'Process 0 could not write {path}.')
        if jax.process_index() == 0:
            parts.remove()  # while nobody else can begin there
    return Embedded(path, len(source), broken)


def _claim(
    path: Path,
    parts: Parts,
    plan: dict[str, Any],
    listing: Listing,
    stack: contextlib.ExitStack,
    progress: Progress,
) -> None:
    """Nothing in the folder of parts is touched before it is this command's alone."""
    folder = parts.make_folder()
    lock = locked(folder / LOCK, folder, 'give another --out', report=progress.print)
    stack.enter_context(lock)
    if path.exists():  # who held the lock has written it
        parts.remove()
    place_of(path)
    begin(folder, plan, listing)


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
    for path, leaf in jax.tree.leaves_with_path((network.params, network.state)):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:32]


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
