"""The examples run as they stand, and none is longer than a page."""

import importlib.util
import math
from pathlib import Path

import pytest

from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / 'examples').glob('*.py'))


def test_there_are_four_of_at_most_a_hundred_lines() -> None:
    assert [path.stem for path in EXAMPLES] == ['byol', 'mae', 'moco', 'simclr']
    assert max(path.read_text(encoding='utf-8').count('\n') for path in EXAMPLES) <= 100


@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_trains(
    path: Path,
    digits_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv('TFDS_DATA_DIR', digits_dir)
    spec = importlib.util.spec_from_file_location(f'examples_{path.stem}', path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert math.isfinite(module.main(['--steps=2']))
    said = capsys.readouterr().out
    assert said.startswith('step    2  loss ')
    assert 'nan' not in said
