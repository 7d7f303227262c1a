"""k-means on the device beside scikit-learn's, from the same start on the same features.

    python -m experiments.clustering
    python -m experiments.clustering --points=10000 --clusters=100 --repeats=9
    python -m experiments.clustering --points=1281167 --width=256 --clusters=10000 --ours-only

Both run 20 rounds of Lloyd's algorithm, which the features are made not to end before, and take the
nearest centroids once more. The third is what none can do without: the products of all points with
all centroids, as often. Blocks alternate; compilation is timed apart.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.blocks import Action, alternate, medians, rows
from experiments.reporting import positive, processor, show, show_json
from experiments.throughput_measure import timed
from jssl.memories.kmeans import ITERATIONS, kmeans
from jssl.runs.workdir import versions
from jssl.training.huge_pages import restart_with_huge_pages

PART = 512  # points of a product at a time
LATENT = 16  # dimensions in which the features differ most


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status."""
    options = parser().parse_args(argv)
    if options.clusters > options.points:
        print('clustering: --clusters is larger than --points; lower it.', file=sys.stderr)
        return 2
    numbers = measure(options)
    size = f'{options.points:,} x {options.width}, {options.clusters:,} clusters'
    show(f'k-means of {size}, {ITERATIONS} rounds', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.clustering',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--points', type=positive, default=100_000)
    result.add_argument('--width', type=positive, default=256, help='of a point')
    result.add_argument('--clusters', type=positive, default=1_000)
    result.add_argument('--repeats', type=positive, default=3, help='blocks of each')
    result.add_argument('--ours-only', action='store_true', help='leave scikit-learn out')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and inertia of each."""
    points = features(options.points, options.width)
    start = points[np.random.default_rng(1).permutation(len(points))[: options.clusters]]
    arrays = jax.device_put((points, start, jax.random.key(0)))
    compiled, compile_seconds = timed(lambda: jax.jit(kmeans).lower(*arrays).compile())
    actions: dict[str, Action] = {'jssl': lambda: jax.block_until_ready(compiled(*arrays))}
    numbers = {
        'compile_seconds': compile_seconds,
        'inertia': float(compiled(*arrays).inertia),
        'processor': processor(),
        'versions': versions(),
    }
    if not options.ours_only:
        fitted = sklearn(start).fit(points)
        numbers |= {'sklearn_inertia': fitted.inertia_, 'sklearn_rounds': fitted.n_iter_}
        actions['scikit-learn'] = lambda: sklearn(start).fit(points)
    product = jax.jit(products)
    actions['products alone'] = lambda: jax.block_until_ready(product(*arrays[:2]))
    return numbers | {'seconds': medians(alternate(actions, options.repeats))}


def sklearn(start: np.ndarray) -> Any:
    """The same by scikit-learn."""
    from sklearn.cluster import KMeans

    return KMeans(len(start), init=start, n_init=1, max_iter=ITERATIONS, tol=0)


def products(points: jax.Array, centroids: jax.Array) -> jax.Array:
    """Points times centroids, a part of the points at a time, as often as k-means needs them."""
    size = min(PART, len(points))
    parts = points[: len(points) // size * size].reshape(-1, size, points.shape[1])

    def iterate(_: int, centroids: jax.Array) -> jax.Array:
        def part(part: jax.Array) -> jax.Array:
            return jnp.matmul(part, centroids.T)[0, 0]

        return centroids + 1e-20 * jax.lax.map(part, parts).sum()  # each round needs the last

    return jax.lax.fori_loop(0, ITERATIONS + 1, iterate, centroids)


def features(count: int, width: int) -> np.ndarray:
    """Unit vectors close to a space of few dimensions, float32 (count, width)."""
    draw = np.random.default_rng(0)
    latent = draw.standard_normal((count, LATENT), 'float32')
    points = latent @ draw.standard_normal((LATENT, width), 'float32')
    points += draw.standard_normal((count, width), 'float32')
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    words = rows(numbers['seconds'])
    words['inertia'] = f'{numbers["inertia"]:.6g}'
    if 'sklearn_inertia' in numbers:
        words['scikit-learn after'] = (
            f'{numbers["sklearn_rounds"]} rounds, inertia {numbers["sklearn_inertia"]:.6g}'
        )
    words['compile time'] = f'{numbers["compile_seconds"]:.1f} s'
    return words | {'machine': f'{numbers["versions"]["platform"]}, host {numbers["processor"]}'}


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
