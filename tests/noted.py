"""What tests found when they compared floats: a plugin of pytest that notes how far off they were.

Tests of the parts of the reference numbers compare with `np.testing.assert_allclose` and
`pytest.approx`. While one runs, both note the largest difference, relative to the largest number
that was expected, and then judge as ever.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

Errors = dict[str, float]
PRECISIONS = ('float64', 'float32')


class Notes:
    """The plugin: runs the tests whose `path` is one of `paths`, and no others.

    Attributes:
      errors: of each file, the largest error in each precision, `{'float64': 1e-9}`.
      outcomes: of each file, how many of its tests ended in which way, `{'passed': 2}`.
    """

    def __init__(self, paths: Collection[Path]) -> None:
        self.errors: dict[Path, Errors] = {path: {} for path in paths}
        self.outcomes: dict[Path, dict[str, int]] = {path: {} for path in paths}
        self._paths: dict[str, Path] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leaves the tests of these files."""
        self._paths = {
            item.nodeid: path for item in items if (path := _path(item)) in self.errors and path
        }
        items[:] = [item for item in items if item.nodeid in self._paths]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Notes while the test itself runs."""
        with noting(self.errors[self._paths[item.nodeid]]):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts how tests ended."""
        if report.when == 'call' or report.outcome != 'passed':
            found = self.outcomes[self._paths[report.nodeid]]
            found[report.outcome] = found.get(report.outcome, 0) + 1


def _path(item: pytest.Item) -> Path | None:
    spec = getattr(item, 'callspec', None)
    return None if spec is None else spec.params.get('path')


@contextlib.contextmanager
def noting(errors: Errors) -> Iterator[None]:
    """Comparisons of floats within the block leave the largest error of each precision."""

    def note(found: Any, expected: Any) -> None:
        error, precision = _error(found, expected), _precision(found)
        if error is not None:
            errors[precision] = max(errors.get(precision, 0.0), error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.testing, 'assert_allclose', _first(note, np.testing.assert_allclose))
        patch.setattr(pytest, 'approx', lambda *a, **k: _Approx(note, a[0], pytest_approx(*a, **k)))
        yield


pytest_approx = pytest.approx


def _first(note: Callable[[Any, Any], None], then: Callable[..., None]) -> Callable[..., None]:
    def compare(actual: Any, desired: Any, *args: Any, **options: Any) -> None:
        note(actual, desired)
        then(actual, desired, *args, **options)

    return compare


class _Approx:
    """What `pytest.approx` gives, which notes before it is compared."""

    __array_ufunc__ = None  # so that numbers of NumPy ask this side

    def __init__(self, note: Callable[[Any, Any], None], expected: Any, judge: Any) -> None:
        self._note, self._expected, self._judge = note, expected, judge

    def __eq__(self, found: object) -> bool:
        self._note(found, self._expected)
        return bool(found == self._judge)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._judge)


def _error(found: Any, expected: Any) -> float | None:
    """The largest difference relative to the largest of what is expected; None of no floats."""
    ours, theirs = (np.asarray(value) for value in (found, expected))
    if not all(x.size and np.issubdtype(x.dtype, np.number) for x in (ours, theirs)):
        return None
    if not any(np.issubdtype(x.dtype, np.floating) for x in (ours, theirs)):
        return None
    wide, exact = ours.astype('float64'), theirs.astype('float64')
    largest = np.abs(exact).max()
    return float(np.abs(wide - exact).max() / (largest or 1.0))


def _precision(found: Any) -> str:
    """That of an array; of a number of Python that which JAX computes in."""
    name = str(getattr(found, 'dtype', ''))
    if name in PRECISIONS:
        return name
    return jax.dtypes.canonicalize_dtype(float).name
