"""The kNN score beside scikit-learn and faiss: the same votes of the same neighbours.

    pip install -e '.[bench]'
    python -m experiments.neighbours
    python -m experiments.neighbours --train=5000 --test=1000 --classes=10 --repeats=9

All are given unit vectors and give the class of every test row: the search of the neighbours and
their weighted vote are timed together, what an index or a fit needs too. faiss searches its
`IndexFlatIP`, and NumPy counts the votes; without faiss it is left out. Blocks alternate.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments.blocks import Action, alternate, medians, rows
from experiments.reporting import positive, processor, show, show_json
from jssl.evaluation.knn import knn_ranking
from jssl.runs.workdir import versions
from jssl.training.huge_pages import restart_with_huge_pages

NEIGHBOURS, TEMPERATURE = 20, 0.07
SPREAD = 3.0  # of a class, whose centre is of deviation 1


class Data(NamedTuple):
    """Unit vectors (N, D) with labels (N,), and those to be classified (M, D)."""

    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    classes: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status."""
    options = parser().parse_args(argv)
    if options.train < NEIGHBOURS:
        print(f'neighbours: --train is less than {NEIGHBOURS}; raise it.', file=sys.stderr)
        return 2
    numbers = measure(options)
    size = f'{options.test:,} of {options.train:,} x {options.width}, {options.classes} classes'
    show(f'The {NEIGHBOURS} nearest and their vote for {size}', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.neighbours',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--train', type=positive, default=50_000, help='rows that vote')
    result.add_argument('--test', type=positive, default=2_000, help='rows that are classified')
    result.add_argument('--width', type=positive, default=256, help='of a row')
    result.add_argument('--classes', type=positive, default=100)
    result.add_argument('--repeats', type=positive, default=3, help='blocks of each')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each, and the share of test rows for which another finds the same class."""
    data = draw(options)
    ways = {'jssl': ours, 'faiss': by_faiss, 'scikit-learn': by_sklearn}
    if importlib.util.find_spec('faiss') is None:
        del ways['faiss']
    wanted = ours(data)
    actions: dict[str, Action] = {name: partial(way, data) for name, way in ways.items()}
    return {
        'seconds': medians(alternate(actions, options.repeats)),
        'equal': {name: float((way(data) == wanted).mean()) for name, way in ways.items()},
        'processor': processor(),
        'versions': versions(),
    }


def ours(data: Data) -> np.ndarray:
    """The class of each test row."""
    return knn_ranking(
        data.train,
        data.labels,
        data.test,
        k=NEIGHBOURS,
        temperature=TEMPERATURE,
        num_classes=data.classes,
    )[:, 0]


def by_faiss(data: Data) -> np.ndarray:
    """The same by faiss and a count of the votes."""
    import faiss

    index = faiss.IndexFlatIP(data.train.shape[1])
    index.add(data.train)
    cosines, places = index.search(data.test, NEIGHBOURS)
    votes = np.exp((cosines - cosines[:, :1]) / TEMPERATURE)
    cells = np.arange(len(places))[:, None] * data.classes + data.labels[places]
    counts = np.bincount(cells.ravel(), votes.ravel(), len(places) * data.classes)
    return counts.reshape(len(places), data.classes).argmax(axis=1)


def by_sklearn(data: Data) -> np.ndarray:
    """The same by scikit-learn, whose distances between unit vectors give their cosines."""
    from sklearn.neighbors import KNeighborsClassifier

    def weights(distances: np.ndarray) -> np.ndarray:
        cosines = 1 - np.square(distances) / 2
        return np.exp((cosines - cosines[:, :1]) / TEMPERATURE)

    model = KNeighborsClassifier(NEIGHBOURS, weights=weights, algorithm='brute')
    return model.fit(data.train, data.labels).predict(data.test)


def draw(options: argparse.Namespace) -> Data:
    """Classes around centres of their own."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((options.classes, options.width), 'float32')

    def unit(labels: np.ndarray) -> np.ndarray:
        noise = rng.standard_normal((len(labels), options.width), 'float32')
        found = centres[labels] + np.float32(SPREAD) * noise
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    labels, asked = (rng.integers(0, options.classes, n) for n in (options.train, options.test))
    return Data(unit(labels), labels, unit(asked), options.classes)


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    others = {name: share for name, share in numbers['equal'].items() if name != 'jssl'}
    equal = ', '.join(f'{name} {share:.2%}' for name, share in others.items())
    machine = f'{numbers["versions"]["platform"]}, host {numbers["processor"]}'
    return rows(numbers['seconds']) | {'same class': equal, 'machine': machine}


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
