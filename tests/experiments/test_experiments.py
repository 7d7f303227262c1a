"""The benchmarks: what they print makes sense, and the PyTorch side computes what ours does."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithms import SimCLR
from jssl.backbones import ResNet
from jssl.heads import ContrastiveHead
from jssl.interop.mmselfsup import export_state
from jssl.necks import NonLinearNeck
from tests import tiny
from tests.checks import refused, tiny_simclr, well_scaled
from tests.conftest import QUICK, ROOT

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None, reason='PyTorch is not installed (extra: bench)'
)


def run(module: str, *arguments: str, devices: int = 1) -> dict[str, Any]:
    """The JSON line that a benchmark prints last, run in a process of its own."""
    flags = f'--xla_force_host_platform_device_count={devices} {QUICK}'
    done = subprocess.run(
        [sys.executable, '-m', f'experiments.{module}', *arguments, '--json'],
        cwd=ROOT,
        env=os.environ | {'XLA_FLAGS': flags},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(('resident', 'devices'), [('yes', 1), ('no', 2)])
def test_throughput_prints_what_a_run_would_reach(
    digits_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resident: str,
    devices: int,
) -> None:
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path))
    one_stage: dict[str, Any] = {
        'model__backbone__strides': '(2,)',
        'model__backbone__out_indices': '(1,)',
        'model__neck__in_channels': 4,
        'views__view__jitter': 0.0,
    }
    arguments = tiny.arguments(digits_dir, resident=resident, **one_stage)
    numbers = run('throughput', *arguments, '--steps=6', '--window=2', devices=devices)
    assert numbers['resident'] is (resident == 'yes')
    assert numbers['versions']['devices'] == devices
    assert numbers['arguments'] == arguments
    rates = [numbers[f'{name}images_per_second'] for name in ('slowest_', '', 'fastest_')]
    assert 0 < rates[0] <= rates[1] <= rates[2]
    assert rates[1] * numbers['step_ms'] == pytest.approx(32 * 1000)
    assert 0 <= numbers['data_wait'] < 1
    assert numbers['compile_seconds'] > 0
    assert not any(tmp_path.iterdir())  # a program from a cache would not tell the compile time
    assert numbers['peak_of'] == 'process'
    assert numbers['peak_bytes'] > numbers['program_bytes'] > 32 * 32 * 32 * 3


def test_throughput_refuses_in_one_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    from experiments.throughput import main

    assert main([tiny.CONFIG, '--config.batchsize=3']) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith('throughput: ')
    assert 'batch_size' in said
    assert '\n' not in said


@needs_torch
def test_both_steps_are_timed_on_the_same_computation() -> None:
    network = ['--depth=10', '--base-channels=4', '--image=16', '--batch=8']
    numbers = run('torch_simclr', *network, '--threads=1', '--repeats=3', '--steps=1')
    ours, theirs = numbers['losses']
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert 0.5 < ours < 10  # log 15, when nothing is known yet, is 2.7
    for name in ('jax', 'torch'):
        assert numbers[f'{name}_cpu_ms'] > 0
        rate = numbers[f'{name}_images_per_second']
        assert rate * numbers[f'{name}_ms'] == pytest.approx(8 * 1000)
    low, high = numbers['ratio_range']
    assert 0 < low <= numbers['ratio'] <= high < 1000


def bottlenecks() -> SimCLR:
    """One stage of bottlenecks behind the stem of ImageNet."""
    return SimCLR(
        backbone=ResNet(50, 4, strides=(2,), out_indices=(1,)),
        neck=NonLinearNeck(in_channels=16, hid_channels=8, out_channels=8),
        head=ContrastiveHead(temperature=0.5, loss_weight=0.25),
    )


@needs_torch
@pytest.mark.parametrize('algorithm', [tiny_simclr(), bottlenecks()], ids=['basic', 'bottleneck'])
def test_twin_has_our_loss_gradients_and_statistics(algorithm: SimCLR) -> None:
    from experiments.torch_twin import Twin, interleave, load_weights

    with jax.enable_x64(True):
        views = np.random.default_rng(0).normal(size=(2, 4, 32, 32, 3))
        batch = {'views': tuple(jnp.asarray(views))}
        shapes = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
        params, state = well_scaled(shapes)
        params, state = jax.tree.map(lambda leaf: leaf.astype('float64'), (params, state))
        step = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
        (loss, (after, _)), grads = step(params, state, batch)
        expected = export_state(grads, after)
        twin = Twin(algorithm).double()
        load_weights(twin, params, state)
        twin_loss = twin(interleave(batch['views']))
    twin_loss.backward()
    assert twin_loss.item() == pytest.approx(float(loss), rel=1e-9)
    found = {name: parameter.grad for name, parameter in twin.named_parameters()}
    found |= {name: buffer for name, buffer in twin.named_buffers() if 'running' in name}
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value is not None
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-6, atol=1e-9)


@needs_torch
def test_both_optimizers_take_the_same_steps() -> None:
    from experiments.torch_simclr import pair

    ours, theirs, first = pair(tiny_simclr(), image=16, batch_size=8)
    later = [(ours(), theirs()) for _ in range(3)]
    assert later[-1][0] < first[0] - 0.01  # the steps change something
    for our_loss, their_loss in later:
        assert our_loss == pytest.approx(their_loss, rel=1e-3)


@needs_torch
def test_comparison_refuses_what_the_twin_lacks() -> None:
    from experiments.torch_simclr import main
    from experiments.torch_twin import Twin

    backbone = tiny_simclr().backbone.clone(bn_group_size=4)
    with refused('bn_group_size=4'):
        Twin(SimCLR(backbone=backbone, neck=tiny_simclr().neck, head=ContrastiveHead()))
    backbone = tiny_simclr().backbone.clone(strides=(1, 2))
    with refused('out_indices'):
        Twin(SimCLR(backbone=backbone, neck=tiny_simclr().neck, head=ContrastiveHead()))
    assert main(['--threads=100000']) == 2
