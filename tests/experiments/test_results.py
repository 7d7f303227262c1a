"""The table of accuracies is made of real runs, and a finished run is not repeated."""

import json
from pathlib import Path

import pytest

from experiments import results
from tests import tiny

OWN = 'own task'


def test_the_table_holds_every_seed_and_finished_runs_are_kept(
    digits_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [argument for argument in tiny.arguments(digits_dir) if '--config.' in argument]
    options = ['--configs', 'simclr', '--seeds', '3', '--runs', str(tmp_path / 'runs')]
    options += ['--write', str(tmp_path / 'table.md'), '--json', *overrides]
    assert results.main(options) == 0
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])['simclr'][0]
    table = (tmp_path / 'table.md').read_text()
    head, _, simclr, raw = (line.split(' | ') for line in table.splitlines()[2:])
    assert head[1:6] == ['kNN', 'linear probe', 'untrained: kNN', 'untrained: linear probe', OWN]
    assert simclr[:3] == ['| simclr', f'{scores["knn"]:.3f}', f'{scores["linear"]:.3f}']
    assert all(0 < float(cell) < 1 for cell in simclr[3:6])
    pixels = results.read(tmp_path / 'runs' / 'simclr-3').baselines['raw pixels']
    assert raw[:3] == ['| raw pixels', f'{pixels["knn"]:.3f}', f'{pixels["linear"]:.3f}']
    assert 0.2 < pixels['knn'] < 0.5  # chance is 0.1; the whole set gives 0.61
    assert {line.count('|') for line in table.splitlines()[2:]} == {8}
    report = tmp_path / 'runs' / 'simclr-3' / 'report.html'
    written = report.stat().st_mtime_ns
    assert results.main(options) == 0
    assert report.stat().st_mtime_ns == written


def test_a_masked_model_s_own_task_is_the_variance_it_explains(tmp_path: Path) -> None:
    rows = [
        {'step': 2, 'epoch': 1.0, 'time': 5.0, 'explained_variance': 0.1},
        {'step': 3, 'epoch': 1.5, 'time': 6.0, 'explained_variance': 0.5},
        {'step': 4, 'epoch': 2.0, 'time': 8.0, 'explained_variance': 0.7},
    ]
    lines = [json.dumps(row | {'kind': 'step'}) for row in rows]
    (tmp_path / 'metrics.jsonl').write_text(''.join(f'{line}\n' for line in lines))
    result = results.read(tmp_path)
    assert result.own_task == pytest.approx(0.6)  # over the last epoch
    assert result.seconds == 3.0


def test_a_failed_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ['--configs', 'simclr', '--seeds', '0', '--runs', str(tmp_path)]
    assert results.main([*options, '--config.batch_size=0']) == 1
    assert f'{tmp_path / "simclr-0"}' in capsys.readouterr().err
    assert 'batch_size' in (tmp_path / 'simclr-0.log').read_text()
