"""The memory of online deep clustering: features, labels and centroids that move with every batch.

Zhan, Xie, Liu, Ong, Loy, "Online Deep Clustering for Unsupervised Representation Learning", CVPR
2020, arXiv 2006.10645, section 3.2. Everything has a fixed shape and stays on the device: the bank
(N, D), labels (N,) and centroids (k, D).
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, Share
from jssl.errors import JsslError
from jssl.memories.bank import last_occurrences, update_rows
from jssl.reference import Reference

ROWS = 1024  # rows of the bank that are read at a time
ITERATIONS = 20  # of the 2-means that splits a cluster
HIGHEST = jax.lax.Precision.HIGHEST


class Memory(NamedTuple):
    """The arrays of the memory.

    Attributes:
      bank: (N, D), unit rows.
      labels: int (N,).
      centroids: (k, D), means of the members.
    """

    bank: jax.Array
    labels: jax.Array
    centroids: jax.Array


@dataclasses.dataclass(frozen=True)
class ODCMemory(Checked):
    """The settings of the memory.

    Attributes:
      feat_dim: D, width of a row.
      num_classes: k, the number of clusters.
      momentum: share of the new feature in an updated row, above 0 and at most 1.
      min_cluster: a cluster with fewer members is dissolved, and half of a large one takes its
        place.

    Raises:
      JsslError: a field is out of its range.
    """

    feat_dim: Count
    num_classes: Count
    momentum: Share = 0.5
    min_cluster: Count = 20

    reference: ClassVar[Reference] = Reference(fields={'length': None})  # it follows from the data

    def init(self, length: int) -> Memory:
        """An empty memory of so many images, all of label 0."""
        return Memory(
            bank=jnp.zeros((length, self.feat_dim)),
            labels=jnp.zeros(length, jnp.int32),
            centroids=jnp.zeros((self.num_classes, self.feat_dim)),
        )

    def check_samples(self, samples: int) -> None:
        """Refuses more or larger clusters than so many images can fill."""
        if samples < self.num_classes * self.min_cluster:
            raise JsslError(
                f'config.model.memory_bank.num_classes={self.num_classes} clusters of at least '
                f'min_cluster={self.min_cluster} images need {self.num_classes * self.min_cluster} '
                f'images, and there are {samples}; lower one of the two.'
            )


def cluster_sizes(labels: jax.Array, count: int) -> jax.Array:
    """How many of `labels` (N,) each of `count` clusters has, int32 (count,).

    Examples:
      >>> import jax.numpy as jnp
      >>> print(cluster_sizes(jnp.array([0, 2, 2]), 3))
      [1 0 2]
    """
    return jnp.zeros(count, jnp.int32).at[labels].add(1)


def class_weights(labels: jax.Array, count: int, power: float = 0.5) -> jax.Array:
    """Weights of the loss that favour small clusters: ``(1 / (size + 1e-10))^power``, sum 1.

    An empty cluster gets 1e5 before they are scaled, which leaves next to nothing to the others.

    Examples:
      >>> import jax.numpy as jnp
      >>> weights = class_weights(jnp.array([0, 0, 0, 0, 1]), 2)
      >>> print(f'{weights[1] / weights[0]:.3f}')  # clusters of one and of four
      2.000
    """
    weights = (1 / (cluster_sizes(labels, count).astype(float) + 1e-10)) ** power
    return weights / weights.sum()


def update_samples(
    memory: Memory, index: jax.Array, features: jax.Array, momentum: float
) -> tuple[Memory, jax.Array]:
    """Moves the rows of a batch, and gives each the label of the centroid with the largest product.

    Args:
      memory: before the batch.
      index: (B,), the rows; of one that comes several times the last one counts.
      features: (B, D); no gradient flows through them.
      momentum: share of the new feature.

    Returns:
      The memory, and the share of the batch whose label changed.

    Examples:
      >>> import jax.numpy as jnp
      >>> memory = Memory(jnp.eye(2), labels=jnp.array([0, 0]), centroids=jnp.eye(2))
      >>> memory, changed = update_samples(memory, jnp.array([1]), jnp.array([[0.0, 1.0]]), 0.5)
      >>> print(memory.labels, changed)
      [0 1] 1.0
    """
    bank, rows = update_rows(memory.bank, index, features, momentum)
    products = jnp.matmul(rows, memory.centroids.T, precision=HIGHEST)
    new = products.argmax(axis=1).astype(memory.labels.dtype)
    changed = jnp.mean(new != memory.labels[index])
    places = last_occurrences(index, len(bank))
    return Memory(bank, memory.labels.at[places].set(new, mode='drop'), memory.centroids), changed


def update_centroids(memory: Memory) -> Memory:
    """All centroids as the means of their members; one without members stays where it is.

    Examples:
      >>> import jax.numpy as jnp
      >>> memory = Memory(jnp.eye(2), labels=jnp.array([0, 0]), centroids=jnp.zeros((2, 2)))
      >>> print(update_centroids(memory).centroids)
      [[0.5 0.5]
       [0.  0. ]]
    """
    sizes = cluster_sizes(memory.labels, len(memory.centroids))[:, None]
    sums = jnp.zeros_like(memory.centroids).at[memory.labels].add(memory.bank)
    means = jnp.where(sizes > 0, sums / jnp.maximum(sizes, 1), memory.centroids)
    return memory._replace(centroids=means)


def merge_small_clusters(memory: Memory, min_cluster: int) -> Memory:
    """Dissolves clusters with fewer than `min_cluster` members, and refills them from large ones.

    All members of small clusters first join the other cluster whose centroid has the largest
    product. Then each small cluster in turn takes one part of what is the largest by now, split by
    2-means, and the two centroids become the means of their members. Nothing happens, and next to
    nothing is computed, while no cluster is small.

    Raises:
      JsslError: if all clusters could be small.

    Examples:
      >>> import jax.numpy as jnp
      >>> bank = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
      >>> memory = Memory(bank, labels=jnp.zeros(4, jnp.int32), centroids=jnp.eye(2))
      >>> print(cluster_sizes(merge_small_clusters(memory, min_cluster=1).labels, 2))
      [2 2]
    """
    if len(memory.labels) < len(memory.centroids) * min_cluster:
        raise JsslError(
            f'{len(memory.labels)} images are too few for {len(memory.centroids)} clusters of at '
            f'least min_cluster={min_cluster}; lower memory_bank.num_classes or min_cluster.'
        )
    count = len(memory.centroids)
    small = cluster_sizes(memory.labels, count) < min_cluster
    memory = dissolve(memory, small)
    order = jnp.nonzero(small, size=count, fill_value=count)[0]

    def refill(turn: jax.Array, carry: tuple[Memory, jax.Array]) -> tuple[Memory, jax.Array]:
        memory, sizes = carry
        largest = sizes.argmax()
        members = find_members(memory.labels, largest)
        part = split_in_two(memory.bank, members)
        memory, halves = move_part(memory, members, part, largest, order[turn])
        return memory, sizes.at[jnp.stack([largest, order[turn]])].set(halves)

    start = memory, cluster_sizes(memory.labels, count)
    return jax.lax.fori_loop(0, small.sum(), refill, start)[0]


def dissolve(memory: Memory, small: jax.Array) -> Memory:
    """Moves the members of `small` (k,) clusters to the nearest of the others.

    Examples:
      >>> import jax.numpy as jnp
      >>> memory = Memory(jnp.eye(2), labels=jnp.array([0, 1]), centroids=jnp.eye(2))
      >>> print(dissolve(memory, small=jnp.array([False, True])).labels)
      [0 0]
    """
    bank, labels, centroids = memory
    rows = min(len(labels), 4 * ROWS)

    def move(labels: jax.Array) -> jax.Array:
        places = jnp.nonzero(small[labels], size=rows, fill_value=len(labels))[0]
        products = jnp.matmul(_read(bank, places), centroids.T, precision=HIGHEST)
        target = jnp.where(small, -jnp.inf, products).argmax(axis=1)
        return labels.at[places].set(target.astype(labels.dtype), mode='drop')

    labels = jax.lax.while_loop(lambda labels: small[labels].any(), move, labels)
    return memory._replace(labels=labels)


class Members(NamedTuple):
    """The members of one cluster, found in a bank of any size.

    Attributes:
      places: (M,), their rows in ascending order, and behind them N; M is a multiple of `ROWS`.
      size: how many they are.
    """

    places: jax.Array
    size: jax.Array


def find_members(labels: jax.Array, cluster: jax.Array) -> Members:
    """Where `labels` (N,) say `cluster`.

    Examples:
      >>> import jax.numpy as jnp
      >>> members = find_members(jnp.array([0, 1, 0]), jnp.array(0))
      >>> print(members.size, members.places[:3])
      2 [0 2 3]
    """
    size = -(-len(labels) // ROWS) * ROWS
    found = labels == cluster
    return Members(jnp.nonzero(found, size=size, fill_value=len(labels))[0], found.sum())


def split_in_two(bank: jax.Array, members: Members) -> jax.Array:
    """Which members belong to the second part, bool (M,): 2-means from a k-means++ start.

    The start is drawn by a fixed key (Arthur and Vassilvitskii 2007, section 2.2). Where all
    members are equal every second one belongs to it.

    Examples:
      >>> import jax.numpy as jnp
      >>> members = find_members(jnp.array([0, 0]), jnp.array(0))
      >>> print(split_in_two(jnp.eye(2), members)[:2].sum())  # one of two opposites
      1
    """
    centres = _far_apart(bank, members)

    def step(_: jax.Array, centres: jax.Array) -> jax.Array:
        sums, sizes = _sum_parts(bank, members, lambda rows, _: _second(rows, centres))
        return jnp.where(sizes[:, None] > 0, sums / jnp.maximum(sizes, 1)[:, None], centres)

    centres = jax.lax.fori_loop(0, ITERATIONS, step, centres)
    _, sizes = _sum_parts(bank, members, lambda rows, _: _second(rows, centres))

    def fill(chunk: jax.Array, part: jax.Array) -> jax.Array:
        places, rows, _ = _chunk(bank, members, chunk)
        alternate = jnp.arange(len(places)) % 2 == 1
        second = jnp.where((sizes == 0).any(), alternate, _second(rows, centres))
        return jax.lax.dynamic_update_slice(part, second, (chunk * ROWS,))

    nobody = jnp.zeros(len(members.places), bool)
    return jax.lax.fori_loop(0, _chunks(members), fill, nobody)


def move_part(
    memory: Memory, members: Members, part: jax.Array, largest: jax.Array, empty: jax.Array
) -> tuple[Memory, jax.Array]:
    """Gives the members in `part` (M,) of cluster `largest` to cluster `empty`.

    Returns:
      The memory with both centroids at the means of their members, and the two sizes (2,).

    Examples:
      >>> import jax.numpy as jnp
      >>> memory = Memory(jnp.eye(2), labels=jnp.array([0, 0]), centroids=jnp.zeros((2, 2)))
      >>> members = find_members(memory.labels, jnp.array(0))
      >>> second = members.places == 1
      >>> moved, sizes = move_part(memory, members, second, jnp.array(0), jnp.array(1))
      >>> print(moved.labels, sizes)
      [0 1] [1 1]
    """
    places = jnp.where(part, members.places, len(memory.labels))
    labels = memory.labels.at[places].set(empty.astype(memory.labels.dtype), mode='drop')

    def second(_: jax.Array, chunk: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(part, (chunk * ROWS,), (ROWS,))

    sums, sizes = _sum_parts(memory.bank, members, second)
    means = (sums / sizes[:, None]).astype(memory.centroids.dtype)
    centroids = memory.centroids.at[jnp.stack([largest, empty])].set(means)
    return Memory(memory.bank, labels, centroids), sizes


def _sum_parts(
    bank: jax.Array, members: Members, second: Callable[[jax.Array, jax.Array], jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Sums (2, D) and sizes (2,) of two parts; `second` tells them apart, chunk by chunk."""

    def add(chunk: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        sums, sizes = carry
        _, rows, valid = _chunk(bank, members, chunk)
        part = second(rows, chunk)
        chosen = jnp.stack([valid & ~part, valid & part])
        products = jnp.matmul(chosen.astype(rows.dtype), rows, precision=HIGHEST)
        return sums + products, sizes + chosen.sum(axis=1, dtype=jnp.int32)

    zeros = jnp.zeros((2, bank.shape[1]), bank.dtype), jnp.zeros(2, jnp.int32)
    return jax.lax.fori_loop(0, _chunks(members), add, zeros)


def _far_apart(bank: jax.Array, members: Members) -> jax.Array:
    """Two members (2, D), the second drawn by its squared distance from the first."""
    first_key, second_key = jax.random.split(jax.random.key(0))
    start = members.places[jax.random.randint(first_key, (), 0, members.size)]
    first = bank[start]

    def best(chunk: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        places, rows, valid = _chunk(bank, members, chunk)
        # The largest of log weights with Gumbel noise is a draw by these weights.
        noise = jax.random.gumbel(jax.random.fold_in(second_key, chunk), places.shape, rows.dtype)
        score = jnp.log(jnp.square(rows - first).sum(axis=1)) + noise
        score = jnp.where(valid, score, -jnp.inf)
        top = score.argmax()
        better = score[top] > carry[0]
        return jnp.where(better, score[top], carry[0]), jnp.where(better, places[top], carry[1])

    worst = jnp.asarray(-jnp.inf, bank.dtype), start
    _, place = jax.lax.fori_loop(0, _chunks(members), best, worst)
    return bank[jnp.stack([start, place])]


def _second(rows: jax.Array, centres: jax.Array) -> jax.Array:
    """Which rows (M, D) are nearer to the second of two centres, bool (M,)."""
    gaps = jnp.square(rows[:, None] - centres).sum(axis=2)
    return gaps[:, 1] < gaps[:, 0]


def _chunks(members: Members) -> jax.Array:
    return -(-members.size // ROWS)


def _chunk(
    bank: jax.Array, members: Members, chunk: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Places, rows of the bank and which of them are members, of one chunk of `ROWS`."""
    places = jax.lax.dynamic_slice(members.places, (chunk * ROWS,), (ROWS,))
    return places, _read(bank, places), chunk * ROWS + jnp.arange(ROWS) < members.size


def _read(bank: jax.Array, places: jax.Array) -> jax.Array:
    """Rows of the bank, zeros where a place is out of bounds."""
    return bank.at[places].get(mode='fill', fill_value=0)
