"""Features of a whole set of images, batch by batch, in order, on any number of devices."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jssl.algorithm import Algorithm, Batch, Params, State
from jssl.data.canvas import Canvas
from jssl.data.loading.loader import THREADS, resident
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import Source
from jssl.errors import JsslError
from jssl.evaluation.metrics import Extracted
from jssl.kinds import VIEW

# one canvas -> float (h, w, C), the same every time
EvalView = Annotated[Callable[[Canvas], jax.Array], VIEW]


Extract = Callable[[Params, State, Iterable[Batch]], Extracted]
Outputs = Callable[[Params, State, jax.Array], jax.Array]  # of normalised images, row by row


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayBatches:
    """Batches of a set in memory; can be gone through any number of times.

    Attributes:
      arrays: `canvas` (N, S, S, C) with the sizes (N, 2), and perhaps `label` (N,).
      batch_size: rows a batch; the last one may have fewer.
      rows: which images, in which order; None takes all.
    """

    arrays: Mapping[str, Any]
    batch_size: int
    rows: np.ndarray | None = None

    def __iter__(self) -> Iterator[Batch]:
        rows = np.arange(len(self.arrays['canvas'].size)) if self.rows is None else self.rows
        for chunk in _chunks(rows, self.batch_size):
            yield jax.tree.map(lambda array, chunk=chunk: array[chunk], dict(self.arrays))


@dataclasses.dataclass(frozen=True, eq=False)
class SourceBatches:
    """Batches decoded from a source whenever they are needed, for sets larger than memory.

    Attributes:
      source: the samples.
      batch_size: rows a batch; the last one may have fewer.
      canvas: side of the canvases in pixels.
      rows: which samples, in which order; None takes all.
      channels: 3 for RGB, 1 for grey.
      threads: how many decode at the same time.
      bad_samples: counts broken samples, which are replaced; None allows none.
    """

    source: Source
    batch_size: int
    canvas: int
    rows: np.ndarray | None = None
    channels: int = 3
    threads: int = THREADS
    bad_samples: BadSamples | None = None

    def __iter__(self) -> Iterator[Batch]:
        rows = np.arange(len(self.source)) if self.rows is None else self.rows
        for chunk in _chunks(rows, self.batch_size):
            yield resident(
                self.source,
                self.canvas,
                self.channels,
                self.threads,
                rows=chunk,
                bad_samples=self.bad_samples,
            )


def _chunks(rows: np.ndarray, length: int) -> Iterator[np.ndarray]:
    for first in range(0, len(rows), length):
        yield rows[first : first + length]


def make_extractor(
    algorithm: Algorithm,
    view: EvalView,
    batch_sharding: NamedSharding | None = None,
    *,
    outputs: Outputs | None = None,
) -> Extract:
    """A function that runs a network over a whole set.

    Args:
      algorithm: its `extract_feat` gives the features.
      view: deterministic view of one canvas, such as `CenterView`.
      batch_sharding: how a batch is split over devices by rows; None leaves it to JAX.
      outputs: what to compute in place of the features, such as a classifier's `predict`.

    Returns:
      ``extract(params, state, batches) -> Extracted``. It compiles once: a shorter last batch is
      padded. With several processes each gives the same batches and gets all features.

    Raises:
      JsslError: (from `extract`) no images, or a batch longer than the first.
    """

    compute = outputs or algorithm.extract_feat

    def features(params: Params, state: State, canvas: Canvas) -> jax.Array:
        images = jax.vmap(view)(canvas)
        pooled = compute(params, state, images)
        return pooled.astype(jnp.promote_types(pooled.dtype, jnp.float32))

    compiled = _compile(features, batch_sharding)

    def extract(params: Params, state: State, batches: Iterable[Batch]) -> Extracted:
        return _over_batches(partial(compiled, params, state), batches, batch_sharding)

    return extract


def raw_pixels(
    view: EvalView,
    batches: Iterable[Batch],
    *,
    side: int = 32,
    batch_sharding: NamedSharding | None = None,
) -> Extracted:
    """The normalised pixels of every image as its features: what any network has to beat.

    Views larger than `side` pixels are shrunk to it first (bilinear, antialiased): more pixels make
    raw distances slower to compute, not better. Other arguments are those of `make_extractor`.
    """

    def pixels(canvas: Canvas) -> jax.Array:
        images = jax.vmap(view)(canvas)
        height, width = (min(side, length) for length in images.shape[1:3])
        shape = (len(images), height, width, images.shape[3])
        return jax.image.resize(images, shape, 'bilinear').reshape(len(images), -1)

    return _over_batches(_compile(pixels, batch_sharding), batches, batch_sharding)


def _compile(
    function: Callable[..., jax.Array], sharding: NamedSharding | None
) -> Callable[..., jax.Array]:
    """Jitted; a sharded batch still gives every process all rows."""
    if sharding is None:
        return jax.jit(function)
    return jax.jit(function, out_shardings=NamedSharding(sharding.mesh, P()))


def _over_batches(
    function: Callable[[Canvas], jax.Array],
    batches: Iterable[Batch],
    sharding: NamedSharding | None,
) -> Extracted:
    outputs: list[Any] = []
    labels: list[np.ndarray] = []
    for count, batch in _padded(batches, sharding):
        if 'label' in batch:
            labels.append(np.asarray(batch['label'])[:count])
        canvas = jax.tree.map(partial(_place, sharding=sharding), batch['canvas'])
        outputs.append((count, function(canvas)))
        # The device computes this batch while the one before is fetched, and the host prepares the
        # next: without waiting somewhere, a fast host would queue the whole set on the device.
        outputs[:-1] = [_fetch(output) for output in outputs[:-1]]
    if not outputs:
        raise JsslError('There are no images to extract features from; the set is empty.')
    features = np.concatenate([_fetch(output) for output in outputs])
    return Extracted(features, np.concatenate(labels) if labels else None)


def _fetch(output: np.ndarray | tuple[int, jax.Array]) -> np.ndarray:
    """The rows of an output on the host, without padding."""
    if isinstance(output, np.ndarray):
        return output
    count, features = output
    return np.asarray(features)[:count]


def _padded(
    batches: Iterable[Batch], sharding: NamedSharding | None
) -> Iterator[tuple[int, Batch]]:
    """Batches of one length, that of the first rounded up to what divides over the devices."""
    length = 0
    for batch in batches:
        count = len(batch['canvas'].size)
        length = length or _divisible(count, sharding)
        if count > length:
            raise JsslError(f'A batch of {count} images follows one of {length}; put it first.')
        yield count, batch if count == length else _repeat_last(batch, length - count)


def _divisible(count: int, sharding: NamedSharding | None) -> int:
    if sharding is None:
        return count
    shards = sharding.num_devices // sharding.shard_shape((sharding.num_devices,))[0]
    return -(-count // shards) * shards


def _repeat_last(batch: Batch, missing: int) -> Batch:
    def pad(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])

    return jax.tree.map(pad, dict(batch))


def _place(array: Any, sharding: NamedSharding | None) -> Any:
    """Splits an array that every process holds whole over the devices."""
    if sharding is None:
        return array
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
