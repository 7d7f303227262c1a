"""The parity certificate: every file has a row or a reason, and none is measured twice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import parity, parity_measure, parity_page
from tests import golden, other_numbers
from tests.noted import noting


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One file that can be measured, one that cannot, and one that jssl does not have."""
    found = tmp_path / 'golden'
    found.mkdir()
    other_numbers.write(found / 'part_hog.npz', {'kind': 'part'})
    other_numbers.write(found / 'part_init_stats.npz', {'kind': 'part'})
    other_numbers.write(found / 'unknown.npz', {'kind': 'part'})
    monkeypatch.setattr(golden, 'files', lambda: sorted(found.glob('*.npz')))
    return found


def run(tmp_path: Path, *more: str) -> int:
    names = {'rows': 'rows.jsonl', 'write': 'page.md', 'picture': 'it.png'}
    return parity.main([*(f'--{name}={tmp_path / file}' for name, file in names.items()), *more])


def test_rows_are_kept_and_the_page_names_every_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    said = {'kind': 'step', 'errors': {'float64': {'loss': 3e-16, 'state': 0.0}}}
    monkeypatch.setattr(parity, 'MEASURE', ['python', '-c', f'print({json.dumps(said)!r})'])
    assert run(tmp_path) == 0
    assert '1 of 3: golden/part_hog' in capsys.readouterr().out
    page = (tmp_path / 'page.md').read_text()
    assert '3 files: 1 measured, 2 not to be measured, 0 not measured yet' in page
    assert '| `golden/part_hog` | 3.0e-16 |  | 0 |  |  |  |' in page
    assert '| `golden/part_init_stats` | holds the spread' in page
    assert '| `golden/unknown` | jssl does not have this yet |' in page
    assert (tmp_path / 'it.png').read_bytes().startswith(b'\x89PNG')
    assert run(tmp_path) == 0
    assert not capsys.readouterr().out  # the row is of this file and this package
    monkeypatch.setattr(parity, 'package', lambda: 'another')
    assert run(tmp_path, '--page') == 0
    assert len((tmp_path / 'rows.jsonl').read_text().splitlines()) == 1
    assert run(tmp_path, '--only', 'part_hog') == 0
    assert len((tmp_path / 'rows.jsonl').read_text().splitlines()) == 2
    assert run(tmp_path, '--only', 'part_hug') == 2
    assert 'no file part_hug' in capsys.readouterr().err


def test_what_fails_has_a_row_that_says_why(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, 'MEASURE', ['python', '-c', 'raise SystemExit("out of paper")'])
    assert run(tmp_path) == 1
    page = (tmp_path / 'page.md').read_text()
    assert '| `golden/part_hog` | out of paper |' in page
    assert '0 measured' in page


def test_a_part_is_measured_by_its_tests(tmp_path: Path) -> None:
    paths = [path for path in golden.files() if path.stem == 'part_uniform_sampling']
    if not paths:
        pytest.skip(golden.MISSING)
    done = parity.measure(paths[0])
    assert 'failed' not in done, done
    assert done['kind'] == 'part'
    assert done['tests'] >= 1


def test_errors_are_the_largest_of_an_array_in_its_precision() -> None:
    errors: dict[str, float] = {}
    with noting(errors):
        np.testing.assert_allclose(np.array([1.0, 4.0]), [1.0, 5.0], rtol=1)
        np.testing.assert_allclose(np.array([2.0], 'float32'), [1.0], rtol=2)
        assert np.float64(1.5) == pytest.approx(1.0, rel=1)
        np.testing.assert_allclose(np.array([1, 2]), np.array([1, 2]))  # of whole numbers nothing
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(1.0, 2.0)
    assert errors == {'float64': 0.5, 'float32': 1.0}
    before = dict(errors)
    np.testing.assert_allclose(np.array([9.0]), [1.0], rtol=9)
    assert errors == before


def test_the_largest_error_counts() -> None:
    assert parity_measure.worst({'loss': {'a': 1.0, 'b': 2.0}, 'state': {}}) == {'loss': 2.0}


def test_a_page_without_rows_claims_nothing() -> None:
    row = {'folder': 'golden', 'name': 'mae_vit', 'reason': None}
    page = parity_page.markdown([row], Path('it.png'))
    assert '1 files: 0 measured' in page
    assert '| `golden/mae_vit` | not measured yet |' in page
