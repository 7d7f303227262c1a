import re
from pathlib import Path

import pytest

from tests.docs.pages import run_python

PAGE = 'docs/tutorials/loop.md'


def test_the_code_runs(
    digits_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    splits = "for split in ('train', 'test')"
    shorter = {
        "'train')": f"'train[:256]', data_dir={digits_dir!r})",
        "'embedded_digits', split)": f"'embedded_digits', split, data_dir={digits_dir!r})",
        splits: "for split in ('train[:256]', 'test[:64]')",
        'base_channels=16, strides=(1, 2, 2), out_indices=(3,)': 'base_channels=4, strides=(1, 2), '
        'out_indices=(2,)',
        'in_channels=64': 'in_channels=8',
        'hid_channels=128': 'hid_channels=8',
        'size=24': 'size=12',
        'step >= 20': 'step >= 2',
        'STEPS = 200': 'STEPS = 2',
    }
    names = run_python(PAGE, shorter)
    said = capsys.readouterr().out
    assert "'accuracy'" in said  # the metrics of the first loop
    assert 'True\n' in said  # the restored state takes the same step
    assert float(re.findall(r'kNN (.*)', said)[0]) > 0
    assert names['algorithm'].known_run.steps == 744
