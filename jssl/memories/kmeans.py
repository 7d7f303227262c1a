"""k-means on the device, and what is done to features before it.

Caron, Bojanowski, Joulin, Douze, "Deep Clustering for Unsupervised Learning of Visual Features",
ECCV 2018, arXiv 1807.05520, section 3.4.
"""

import functools
import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize

ITERATIONS = 20
DISTANCES = 2**20  # points times centroids whose distances an accelerator holds at a time
ROWS = 1024  # points at a time at least, to keep it busy
CACHED = 2**19  # numbers, of points and their distances, that a CPU holds at a time
CPU_ROWS = 128  # points at a time at least, with which a product is as fast as with more
PERTURBATION = 1 / 1024  # of the two halves of a cluster that is split
HIGHEST = jax.lax.Precision.HIGHEST
Carry = tuple[jax.Array, jax.Array, jax.Array]  # rounds done, centroids, whether they move
LOGGER = logging.getLogger(__name__)  # is told every round, as `INFO`
ROUNDS = 'k-means: %d of %d rounds'


class Clusters(NamedTuple):
    """What `kmeans` found.

    Attributes:
      labels: int32 (N,), the nearest centroid of each point.
      centroids: (k, D).
      inertia: sum of the squared distances to them.
    """

    labels: jax.Array
    centroids: jax.Array
    inertia: jax.Array


def cluster(
    features: jax.Array, count: int, rng: jax.Array, dimensions: int | None = None
) -> Clusters:
    """k-means of features on the unit sphere, from `count` of them as the first centroids.

    Args:
      features: (N, D).
      count: k.
      rng: one typed key.
      dimensions: whiten and keep so many principal components first; None leaves them as they are.

    Raises:
      JsslError: fewer features than clusters, or more dimensions than they have.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> features = jnp.array([[1.0, 0.0], [5.0, 1.0], [0.0, 1.0], [1.0, 9.0]])
      >>> labels = cluster(features, 2, jax.random.key(0)).labels
      >>> print(labels[0] == labels[1], labels[0] == labels[2], labels[2] == labels[3])
      True False True
    """
    if count > len(features):
        raise JsslError(
            f'config.model.head.num_classes={count} clusters cannot be made of {len(features)} '
            f'images; set it to at most {len(features)}.'
        )
    start_key, split_key = jax.random.split(rng)
    wide = features.astype(jnp.promote_types(features.dtype, jnp.float32))
    points = l2_normalize(wide if dimensions is None else whiten(wide, dimensions))
    start = points[jax.random.permutation(start_key, len(points))[:count]]
    return kmeans(points, start, split_key)


def whiten(features: jax.Array, dimensions: int) -> jax.Array:
    """The first principal components, each with a sum of squares of 1.

    An axis along which the features vary by no more than rounding is not blown up.

    Args:
      features: (N, D).
      dimensions: how many components are kept.

    Returns:
      (N, dimensions); the sign of each is arbitrary.

    Examples:
      >>> import jax.numpy as jnp
      >>> features = jnp.array([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0], [4.0, 1.0]])
      >>> print(jnp.abs(whiten(features, 1)[:, 0]).round(3))
      [0.5 0.5 0.5 0.5]
    """
    if not 1 <= dimensions <= features.shape[1]:
        raise JsslError(
            f'config.model.pca_dim={dimensions}, but the features have {features.shape[1]} '
            f'dimensions; set it from 1 to {features.shape[1]}, or to None for no PCA.'
        )
    centred = features - features.mean(axis=0)
    scatter = jnp.matmul(centred.T, centred, precision=HIGHEST)
    values, axes = jnp.linalg.eigh(scatter)
    values = jnp.maximum(values, jnp.finfo(values.dtype).eps * values[-1])
    scaled = axes[:, ::-1] * values[::-1] ** -0.5
    return jnp.matmul(centred, scaled[:, :dimensions], precision=HIGHEST)


def kmeans(
    points: jax.Array, centroids: jax.Array, rng: jax.Array, iterations: int = ITERATIONS
) -> Clusters:
    """Lloyd's iterations; a cluster that becomes empty takes half of a large one.

    Args:
      points: (N, D).
      centroids: (k, D), where to start.
      rng: for the choice of the clusters that are split.
      iterations: how often centroids are moved at most; it ends before where none moves any more.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> points = jnp.array([[0.0], [1.0], [10.0], [11.0]])
      >>> found = kmeans(points, jnp.array([[0.0], [1.0]]), jax.random.key(0))
      >>> print(found.labels, found.centroids[:, 0], found.inertia)
      [0 0 1 1] [ 0.5 10.5] 1.0
    """
    count, width = centroids.shape
    lloyd = functools.partial(_lloyd, iterations=iterations)
    return jax.lax.platform_dependent(
        points,
        centroids,
        rng,
        cpu=functools.partial(lloyd, rows=max(CACHED // (count + width), CPU_ROWS)),
        default=functools.partial(lloyd, rows=max(DISTANCES // count, ROWS)),
    )


def nearest(points: jax.Array, centroids: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest centroid of each point, int32 (N,), and its squared distance (N,).

    Examples:
      >>> import jax.numpy as jnp
      >>> labels, distances = nearest(jnp.array([[1.0], [8.0]]), jnp.array([[0.0], [10.0]]))
      >>> print(labels, distances)
      [0 1] [1. 4.]
    """
    products = jnp.matmul(-2 * centroids, points.T, precision=HIGHEST)
    gaps = products + jnp.square(centroids).sum(axis=1)[:, None]
    smallest = gaps.min(axis=0)
    # An argmin down the columns; XLA's own takes longer than the product on a CPU.
    numbers = jnp.arange(len(centroids), dtype=jnp.int32)[:, None]
    labels = jnp.where(gaps == smallest, numbers, len(centroids)).min(axis=0)
    return labels, jnp.maximum(smallest + jnp.square(points).sum(axis=1), 0)


def _lloyd(
    points: jax.Array, centroids: jax.Array, rng: jax.Array, *, iterations: int, rows: int
) -> Clusters:
    """`kmeans`, with the distances of at most so many rows at a time."""
    parts = _parts(points, rows)

    def iterate(carry: Carry) -> Carry:
        done, before, _ = carry
        jax.debug.callback(lambda done: LOGGER.info(ROUNDS, int(done), iterations), done)
        means, sizes = _means(parts, len(points), before)
        after = _split_for_empty(means, sizes, jax.random.fold_in(rng, done))
        return done + 1, after, (after != before).any()

    start = jnp.zeros((), jnp.int32), centroids, jnp.array(True)
    _, centroids, _ = jax.lax.while_loop(
        lambda carry: (carry[0] < iterations) & carry[2], iterate, start
    )
    labels, distances = jax.lax.map(lambda part: nearest(part, centroids), parts)
    labels, distances = (_joined(array, len(points)) for array in (labels, distances))
    return Clusters(labels, centroids, distances.sum())


def _parts(points: jax.Array, rows: int) -> jax.Array:
    """Points in chunks (chunks, at most so many rows, D), the last ones filled with zeros.

    Neighbours go to different chunks, so that points that are split over devices by rows stay
    where they are and every device has its share of every chunk.
    """
    chunks = -(-len(points) // rows)
    rows = -(-len(points) // chunks)
    padded = jnp.pad(points, ((0, rows * chunks - len(points)), (0, 0)))
    return padded.reshape(rows, chunks, -1).swapaxes(0, 1)


def _joined(parts: jax.Array, length: int) -> jax.Array:
    """Undoes `_parts` for one number a point."""
    return parts.swapaxes(0, 1).reshape(-1)[:length]


def _means(parts: jax.Array, length: int, centroids: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The means of the clusters around centroids, and their sizes (k,)."""
    chunks, rows, _ = parts.shape
    count = len(centroids)

    def add(
        sums: tuple[jax.Array, jax.Array], numbered: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        chunk, part = numbered
        labels, _ = nearest(part, centroids)
        labels = jnp.where(jnp.arange(rows) * chunks + chunk < length, labels, count)
        total, sizes = sums
        total = total.at[labels].add(part, mode='drop')
        return (total, sizes.at[labels].add(1, mode='drop')), None

    zeros = jnp.zeros_like(centroids), jnp.zeros(count, jnp.int32)
    (total, sizes), _ = jax.lax.scan(add, zeros, (jnp.arange(chunks), parts))
    return jnp.where(sizes[:, None] > 0, total / jnp.maximum(sizes, 1)[:, None], centroids), sizes


def _split_for_empty(centroids: jax.Array, sizes: jax.Array, rng: jax.Array) -> jax.Array:
    """Gives each empty cluster one half of another, as faiss does.

    The other is drawn with a probability in proportion to its size less one. Its centroid goes to
    both, moved apart by a thousandth, up and down in turn along the dimensions.
    """
    sign = jnp.where(jnp.arange(centroids.shape[1]) % 2, -PERTURBATION, PERTURBATION)
    count = len(sizes)
    empty = jnp.nonzero(sizes == 0, size=count, fill_value=count)[0]

    def split(turn: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        centroids, sizes = carry
        weights = jnp.log(jnp.maximum(sizes - 1, 0).astype(centroids.dtype))
        large = jax.random.categorical(jax.random.fold_in(rng, turn), weights)
        pair = jnp.stack([empty[turn], large])
        both = centroids[large] * jnp.stack([1 + sign, 1 - sign]).astype(centroids.dtype)
        half = sizes[large] // 2
        return (
            centroids.at[pair].set(both),
            sizes.at[pair].set(jnp.stack([half, sizes[large] - half])),
        )

    return jax.lax.fori_loop(0, (sizes == 0).sum(), split, (centroids, sizes))[0]
