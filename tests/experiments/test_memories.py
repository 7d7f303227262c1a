"""The benchmarks of k-means and of the bank, in sizes that take no time."""

import json

import pytest

from experiments import clustering, memory_bank
from tests.conftest import ROOT


def last_line(said: str) -> dict[str, float]:
    return json.loads(said.splitlines()[-1])


def test_k_means_beside_scikit_learn(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ['--points=2000', '--width=8', '--clusters=20']
    assert clustering.main([*sizes, '--json']) == 0
    numbers = last_line(capsys.readouterr().out)
    assert numbers['inertia'] == pytest.approx(numbers['sklearn_inertia'], rel=0.01)
    assert min(numbers['seconds'], numbers['sklearn_seconds']) > 0
    assert clustering.main(['--points=5', '--clusters=6']) == 2
    assert '--clusters is larger' in capsys.readouterr().err


def test_the_bank_beside_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    config = f'--config={ROOT / "configs" / "npid.py"}'
    small = ['--config.model.neg_num=16', '--config.model.backbone.base_channels=4']
    sizes = ['--config.model.neck.in_channels=16', '--config.views.view.size=16']
    given = [config, *small, *sizes, '--images=100', '--batch=8', '--repeats=2']
    assert memory_bank.main([*given, '--json']) == 0
    numbers = last_line(capsys.readouterr().out)
    assert numbers['bank_bytes'] == 128 * 64 * 4
    assert min(numbers['bank_ms'], numbers['network_ms']) > 0
    assert memory_bank.main([f'--config={ROOT / "configs" / "simclr.py"}']) == 2
    assert 'SimCLR has no bank' in capsys.readouterr().err
