"""k-means on the device beside scikit-learn's, from the same start on the same features.

    python -m experiments.clustering
    python -m experiments.clustering --points=1281167 --width=256 --clusters=10000 --ours-only

Both run 20 rounds of Lloyd's algorithm. Compilation is timed apart.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.reporting import positive, processor, show, show_json
from experiments.throughput_measure import timed
from jssl.memories.kmeans import ITERATIONS, kmeans
from jssl.runs.workdir import versions


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status."""
    options = parser().parse_args(argv)
    if options.clusters > options.points:
        print('clustering: --clusters is larger than --points; lower it.', file=sys.stderr)
        return 2
    numbers = measure(options.points, options.width, options.clusters, options.ours_only)
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
    result.add_argument('--ours-only', action='store_true', help='leave scikit-learn out')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(count: int, width: int, clusters: int, ours_only: bool) -> dict[str, Any]:
    """Seconds and inertia of both, of one run each."""
    points = features(count, width)
    start = points[np.random.default_rng(1).permutation(count)[:clusters]]
    arrays = jax.device_put((points, start, jax.random.key(0)))
    compiled, compile_seconds = timed(lambda: jax.jit(kmeans).lower(*arrays).compile())
    found, seconds = timed(lambda: jax.block_until_ready(compiled(*arrays)))
    numbers = {
        'seconds': seconds,
        'compile_seconds': compile_seconds,
        'inertia': float(found.inertia),
        'processor': processor(),
        'versions': versions(),
    }
    return numbers if ours_only else numbers | beside(points, start)


def beside(points: np.ndarray, start: np.ndarray) -> dict[str, float]:
    """The same by scikit-learn."""
    from sklearn.cluster import KMeans

    model = KMeans(len(start), init=start, n_init=1, max_iter=ITERATIONS, tol=0)
    fitted, seconds = timed(lambda: model.fit(points))
    return {'sklearn_seconds': seconds, 'sklearn_inertia': fitted.inertia_}


def features(count: int, width: int) -> np.ndarray:
    """Unit vectors around 300 centres, float32 (count, width)."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((300, width), 'float32')
    points = draw.standard_normal((count, width), 'float32')
    points += centres[draw.integers(0, len(centres), count)]
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    rows = {
        'on the device': f'{numbers["seconds"]:.1f} s, inertia {numbers["inertia"]:.6g}',
        'compile time': f'{numbers["compile_seconds"]:.1f} s',
    }
    if 'sklearn_seconds' in numbers:
        seconds, inertia = numbers['sklearn_seconds'], numbers['sklearn_inertia']
        rows['scikit-learn'] = f'{seconds:.1f} s, inertia {inertia:.6g}'
        rows['ratio, ours / its'] = (
            f'{numbers["seconds"] / seconds:.2f} of the time, '
            f'{numbers["inertia"] / inertia:.4f} of the inertia'
        )
    return rows | {'machine': f'{numbers["versions"]["platform"]}, host {numbers["processor"]}'}


if __name__ == '__main__':
    sys.exit(main())
