"""The benchmarks of k-means, of neighbours and of the bank, in sizes that take no time."""

import json
from typing import Any

import pytest

from experiments import blocks, clustering, memory_bank, neighbours
from tests.conftest import ROOT


def last_line(said: str) -> dict[str, Any]:
    return json.loads(said.splitlines()[-1])


def test_k_means_beside_scikit_learn(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ['--points=2000', '--width=8', '--clusters=20', '--repeats=1']
    assert clustering.main([*sizes, '--json']) == 0
    numbers = last_line(capsys.readouterr().out)
    assert numbers['inertia'] == pytest.approx(numbers['sklearn_inertia'], rel=0.01)
    assert list(numbers['seconds']) == ['jssl', 'scikit-learn', 'products alone']
    assert clustering.main(['--points=5', '--clusters=6']) == 2
    assert '--clusters is larger' in capsys.readouterr().err


def test_neighbours_of_all_libraries_vote_alike(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ['--train=200', '--test=50', '--width=8', '--classes=5', '--repeats=1']
    assert neighbours.main([*sizes, '--json']) == 0
    numbers = last_line(capsys.readouterr().out)
    assert list(numbers['seconds']) == list(numbers['equal'])
    assert set(numbers['equal']) - {'faiss'} == {'jssl', 'scikit-learn'}
    assert min(numbers['equal'].values()) >= 0.98  # a row may have two classes of equal votes
    assert neighbours.main(['--train=5']) == 2
    assert '--train is less than 20' in capsys.readouterr().err


def test_ratios_are_of_the_same_round() -> None:
    ours = [blocks.Seconds(1, 2), blocks.Seconds(10, 20), blocks.Seconds(3, 4)]
    its = [blocks.Seconds(2, 8), blocks.Seconds(20, 80), blocks.Seconds(12, 16)]
    found = blocks.medians({'ours': ours, 'its': its})
    assert found['its'] == {
        'wall': 12,
        'processors': 16,
        'wall_ratio': 0.5,
        'processors_ratio': 0.25,
    }
    assert blocks.rows(found)['its'].endswith('the first takes 0.50 and 0.25 of them')


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
