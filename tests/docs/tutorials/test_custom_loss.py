from pathlib import Path
from typing import Any

import pytest

from jssl.runs.metrics import read_metrics
from tests.docs.pages import blocks, run_python
from tests.docs.tutorials.tiny import digits, files, train, written

PAGE = 'docs/tutorials/custom_loss.md'


def test_the_code_runs(
    digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shorter = digits(digits_dir) | {
        'base_channels=16': 'base_channels=4',
        'in_channels=64': 'in_channels=16',
        'size=32, scale': 'size=16, scale',
        'epochs=8,\n)\noutcome': 'epochs=1,\n)\noutcome',
    }
    run_python(PAGE, shorter)
    assert 'report.html' in capsys.readouterr().out
    (metrics,) = (tmp_path / 'runs').glob('run-*/metrics.jsonl')
    assert {'align', 'uniform'} <= read_metrics(metrics)[2].keys()


def test_the_class_is_as_short_as_it_says() -> None:
    lines = files(PAGE)['my_loss.py'].partition('@dataclasses')[2].splitlines()
    assert len(lines) == 21
    assert f'has {len(lines)} lines' in (Path(__file__).parents[3] / PAGE).read_text()


@pytest.mark.slow  # pytest -m slow tests/docs/tutorials/test_custom_loss.py
def test_its_config_trains(
    digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(PAGE, tmp_path, monkeypatch)
    small = {'model.backbone.base_channels': 4, 'model.neck.in_channels': 16}
    run = train('my_config.py', digits_dir, small)
    assert read_metrics(run / 'metrics.jsonl')[-1]['knn'] > 0


def test_parts_in_fields_of_any_name_and_an_optimizer_of_optax_are_named_in_a_config(
    digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(PAGE, tmp_path, monkeypatch)
    described: dict[str, Any] = {}
    exec(next(block for block in blocks(PAGE, 'python') if 'my_spaces:Spaces' in block), described)
    small = {'depth': 10, 'base_channels': 4, 'strides': (1, 2), 'out_indices': (2,)}
    described['model']['backbone'] |= small
    for projector in described['model']['projectors']:
        projector['in_channels'] = 8
    (tmp_path / 'config.py').write_text(
        'from configs import simclr\n\n\n'
        'def get_config():\n'
        '    config = simclr.get_config()\n'
        f'    config.model = {described["model"]!r}\n'
        f'    config.optimizer = {described["optimizer"]!r}\n'
        '    return config\n'
    )
    run = train('config.py', digits_dir)
    rows = [row for row in read_metrics(run / 'metrics.jsonl') if 'sharp' in row]
    assert rows[-1]['loss'] > rows[-1]['sharp'] > 0
    assert max(row['lr'] for row in rows) == pytest.approx(1e-4)
