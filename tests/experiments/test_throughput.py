"""The table of throughput: what is counted, what the parts of a step are, which rows are made."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gpu, throughput, throughput_table
from experiments.throughput_counts import counted
from experiments.throughput_data import Noise, synthetic
from experiments.throughput_measure import inputs
from experiments.throughput_page import cells, number, page
from experiments.throughput_parts import (
    AFTER,
    BACKWARD,
    FORWARD,
    OPTIMIZER,
    PARTS,
    fastest,
    parts,
    split,
)
from experiments.throughput_program import KINDS, shares
from jssl.cli.configs import load
from jssl.data.sources import has_labels
from jssl.planning.machines import BFLOAT16, MACHINES, Fleet
from jssl.training import sharding
from tests.checks import assert_trees_close, refused
from tests.conftest import ROOT
from tests.training import toy

ROW: dict[str, Any] = {
    **{'batch_size': 64, 'step_ms': 32.0, 'same_batch_ms': 20.0, 'images_per_second': 2000.0},
    **{'fastest_images_per_second': 2345.6, 'data_wait': 0.0123, 'load': 3.2, 'utilisation': 0.28},
    **{'operations': 1_146_183_680, 'xla_operations': None, 'bound_seconds': None, 'to_host': 0},
    **{'trace_seconds': 1.5, 'compile_seconds': 5.75, 'warm_seconds': 2.0, 'machine': 'a box'},
    **{'peak_bytes': 2**30, 'peak_of': 'process', 'program_bytes': 2**25},
    'host': {'puts': 1.0, 'reads': 0.0, 'waits': 1.0},
    'host_logged': {'puts': 0, 'reads': 3, 'waits': 0, 'every': 20},
    'parts_ms': {'views': 2.0, 'forward': 4.0, 'backward': 12.0, 'optimizer': 1.0},
}


@dataclasses.dataclass(frozen=True)
class Shrinking(toy.Toy):
    """Its parameters are made smaller after the optimizer."""

    def after_step(self, params: Any, state: Any, step: jax.Array) -> Any:
        return jax.tree.map(lambda leaf: leaf / 2, params), state


def test_the_parts_of_a_step_are_those_of_the_step() -> None:
    subject = toy.experiment(Shrinking())
    given = inputs(subject, sharding.put_batch(subject.loader[0], subject.mesh))
    found: Any = parts(subject, given)
    assert tuple(found) == PARTS
    before = given.train_state.params
    value, _ = found[FORWARD]()
    grads = found[BACKWARD]()[2]
    found[OPTIMIZER]()
    trained, _ = found[OPTIMIZER]._carried
    found[AFTER]()
    np.testing.assert_array_equal(
        found[AFTER]._carried[0]['backbone']['kernel'], before['backbone']['kernel'] / 2
    )
    after, metrics = subject.step(*given)
    np.testing.assert_allclose(value, metrics['loss'], rtol=1e-6)
    assert_trees_close(jax.tree.map(lambda leaf: leaf / 2, trained), after.params, rtol=1e-6)
    assert float(jnp.linalg.norm(grads['backbone']['kernel'])) == pytest.approx(
        float(metrics['grad_norm']), rel=1e-6
    )
    assert AFTER not in parts(toy.experiment(), inputs(toy.experiment(), given.batch))


def test_the_backward_pass_is_what_the_gradient_takes_besides_the_loss() -> None:
    seconds = {'views': 1.0, 'forward': 2.0, 'backward': 5.0, 'optimizer': 0.5, 'step': 9.0}
    assert split(seconds) == {'views': 1.0, 'forward': 2.0, 'backward': 3.0, 'optimizer': 0.5}
    calls: list[str] = []
    found = fastest({name: lambda name=name: calls.append(name) for name in 'ab'})  # type: ignore[misc]
    assert found.keys() == {'a', 'b'}
    assert calls.count('a') == calls.count('b') > 20


def test_the_host_s_work_is_counted_where_it_is_done() -> None:
    double = jax.jit(lambda x: 2 * x)
    x = jax.block_until_ready(double(jax.device_put(np.ones(3, np.float32))))
    nothing = {'puts': 0, 'reads': 0, 'waits': 0}
    assert counted(lambda: double(x)) == nothing
    assert counted(lambda: double(np.ones(3, np.float32))) == {**nothing, 'puts': 1}
    assert counted(lambda: jax.block_until_ready(double(x))) == {**nothing, 'waits': 1}
    assert counted(lambda: jax.device_get([double(x), double(x)])) == {**nothing, 'reads': 2}


def test_noise_stands_for_data_that_are_not_here() -> None:
    config = synthetic(load('npid:imagenet'))
    data = config['data']
    assert config['test_data'] is None
    assert data['number'] == 1_281_167
    source = Noise(1000, 10, side=4)
    assert has_labels(source)
    assert len(source) == 1000
    assert source[999]['label'] == 9
    assert np.shape(source[0]['image']) == (4, 4, 3)
    np.testing.assert_array_equal(source[0]['image'], source[16]['image'])
    assert not np.array_equal(source[0]['image'], source[1]['image'])
    with refused('--synthetic', 'cifar10'):
        synthetic({'data': {'type': 'Folder'}, 'canvas': 32})


def test_utilisation_is_of_the_data_sheet_or_of_a_product_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(KINDS.values()) == set(MACHINES)
    subject: Any = toy.experiment()
    numbers = {'operations': 10e9, 'step_ms': 100.0, 'same_batch_ms': 50.0, 'product_rate': 1e12}
    assert shares(subject, numbers) == {'utilisation': pytest.approx(0.2)}
    del numbers['product_rate']
    assert shares(subject, numbers) == {'utilisation': None}
    two = Fleet('h200', MACHINES['h200'], 1, 2, '')
    monkeypatch.setattr('experiments.throughput_program.known', lambda _: two)
    best = 2 * MACHINES['h200'].peaks[BFLOAT16]
    assert shares(subject, numbers) == {'utilisation': pytest.approx(100e9 / best)}


def test_rows_of_this_machine_and_commit_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if command[1] == '-c':
            return subprocess.CompletedProcess(command, 0, 'a box\n', '')
        asked.append(command[3:])
        wrong = 'byol' in command
        return subprocess.CompletedProcess(command, 2 * wrong, json.dumps(ROW), 'no' * wrong)

    monkeypatch.setattr('subprocess.run', run)
    monkeypatch.setattr(throughput_table, 'commit', lambda: 'abc')
    files = [f'--rows={tmp_path / "rows.jsonl"}', f'--write={tmp_path / "page.md"}']
    only = ['--all', *files, '--only', 'simclr', 'mae', '--sizes', 'embedded', 'cifar10']
    assert throughput.main([*only, '--steps=9']) == 0
    assert throughput.main(only) == 0
    assert [command[0] for command in asked] == ['simclr', 'mae', 'simclr:cifar10']
    assert asked[0][1:] == ['--steps=9', '--window=5', '--json']
    monkeypatch.setattr(throughput_table, 'commit', lambda: 'def')
    assert throughput.main(['--all', *files, '--only', 'mae', '--brief']) == 0
    assert asked[-1][:2] == ['mae', '--brief']
    assert throughput.main(['--all', *files, '--only', 'byol']) == 1
    assert 'byol: no' in capsys.readouterr().out
    rows = (tmp_path / 'page.md').read_text().split('## a box')[1].strip().splitlines()
    assert [row.split('|')[1].strip() for row in rows[2:]] == [
        *('`mae --brief`', '`simclr`', '`simclr:cifar10`'),
    ]
    assert '2,000 (2,346)' in rows[3]
    assert throughput.main(['--all', *files, '--only', 'simcl']) == 2
    assert 'simclr' in capsys.readouterr().err


def test_every_config_has_a_row() -> None:
    found = throughput_table.recipes(None, ['embedded', 'imagenet'])
    assert {'simclr', 'dinov3', 'npid', 'npid:imagenet', 'mae:imagenet'} <= set(found)
    assert not [name for name in found if name.startswith('eval/')]


def test_cells_say_what_was_measured_and_are_empty_where_nothing_was() -> None:
    row = {**ROW, 'recipe': 'simclr', 'given': [], 'commit': 'abc'}
    found = cells(row)
    shown = {'views': '10%', 'forward': '20%', 'backward': '60%', 'optimizer': '5%', 'after': ''}
    assert {name: found[name] for name in shown} == shown
    assert found['host'] == '1 puts, 0 reads, 1 waits; 3 reads every 20 steps'
    assert found['compile, s'] == '7.2'
    assert (found['GFLOP'], found['XLA'], found['of best']) == ('1.15', '', '28%')
    fast = cells({**row, 'bound_seconds': 0.016, 'to_host': 2, 'warm_seconds': None})
    assert fast['bound, images/s'] == '4,000'
    assert '2 in the program' in fast['host']
    assert fast['again, s'] == ''
    assert [number(value) for value in (0.0, 0.0123, 99.96)] == ['0', '0.0123', '100.0']


def test_the_page_is_that_of_the_rows() -> None:
    rows = throughput_table.read_rows(ROOT / 'experiments' / 'throughput.jsonl')
    written = (ROOT / 'docs' / 'reference' / 'throughput.md').read_text(encoding='utf-8')
    assert written == page(rows)


def test_a_gpu_is_measured_for_so_many_minutes_and_not_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits: list[float] = []

    def run(command: list[str], timeout: float, **_: Any) -> subprocess.CompletedProcess[str]:
        limits.append(timeout)
        assert {'--synthetic', '--brief'} <= set(command)
        if len(limits) == 2:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 0, json.dumps(ROW), '')

    monkeypatch.setattr('subprocess.run', run)
    monkeypatch.setattr(throughput_table, 'commit', lambda: 'abc')
    rows = tmp_path / 'rows.jsonl'
    assert gpu.main([f'--rows={rows}', '--minutes=2']) == 1
    assert len(rows.read_text().splitlines()) == 3
    assert 0 < limits[-1] <= limits[0] <= 120
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith('simclr:imagenet: 2,000 images per second, 3,200 with one batch')
    assert said[1].startswith('mae:imagenet: not done within ')
    assert {len(load(name)) > 0 for name in gpu.RECIPES} == {True}


@pytest.mark.slow
def test_the_script_for_a_gpu_runs_here_with_small_configs(tmp_path: Path) -> None:
    """pytest -m slow tests/experiments/test_throughput.py"""
    rows = tmp_path / 'rows.jsonl'
    assert gpu.main(['--quick', '--only', 'simclr:imagenet', f'--rows={rows}']) == 0
    row = json.loads(rows.read_text())
    assert row['recipe'] == 'simclr'
    assert row['batch_size'] == 32
