from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jssl.interop.safetensors import load_backbone
from jssl.main import main
from jssl.runs.metrics import read_metrics
from tests.docs.pages import run_python
from tests.docs.tutorials.tiny import train, written
from tests.tiny import arguments

PAGE = 'docs/tutorials/backbone.md'


def test_a_run_of_its_config_and_then_all_its_code(
    digits_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(PAGE, tmp_path, monkeypatch)
    run = train('my_config.py', digits_dir)
    (tmp_path / 'runs').mkdir()
    run.rename('runs/mine')
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save('photo.png')
    capsys.readouterr()
    names = run_python(PAGE)
    assert capsys.readouterr().out.splitlines() == [
        '(2, 4, 4, 128)',
        "['bn1', 'conv1', 'layer1.0', 'layer1.1']",
        '(32,)',
        '(16, 8, 1, 1)',
    ]
    of_run, of_file = (names[name].features('photo.png') for name in ('network', 'same'))
    np.testing.assert_array_equal(of_run, of_file)
    assert read_metrics(Path('runs/mine/metrics.jsonl'))[-1]['knn'] > 0


def test_the_smallest_one_is_named_on_the_command_line(
    digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(PAGE, tmp_path, monkeypatch)
    drop = '--config.model.backbone'
    argv = [word for word in arguments(digits_dir, tmp_path / 'run') if not word.startswith(drop)]
    argv += ['--config.model.backbone=dict(type="my_module:MyBackbone", width=32)']
    assert main([*argv, '--config.model.backbone.width=16']) == 0
    weights = load_backbone(tmp_path / 'run' / 'backbone.safetensors')
    assert weights['backbone.Conv_1.weight'].shape == (16, 8, 2, 2)
