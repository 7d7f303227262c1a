"""The benchmark of whole runs: what it prints makes sense."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.conftest import QUICK, ROOT


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
    brief = ['--brief'] if devices > 1 else []
    times = ['--steps=6', '--window=2', *brief]
    numbers = run('throughput', *arguments, *times, devices=devices)
    assert numbers['resident'] is (resident == 'yes')
    assert numbers['versions']['devices'] == devices
    assert numbers['arguments'] == arguments
    rates = [numbers[f'{name}images_per_second'] for name in ('slowest_', '', 'fastest_')]
    assert 0 < rates[0] <= rates[1] <= rates[2]
    assert rates[1] * numbers['step_ms'] == pytest.approx(32 * 1000)
    assert 0 <= numbers['data_wait'] < 1
    assert numbers['compile_seconds'] > 0
    assert 0 < numbers['utilisation'] < 2
    assert numbers['host'] == {'puts': 1 if resident == 'yes' else 4, 'reads': 0, 'waits': 1}
    assert numbers['host_logged']['reads'] > 1
    assert numbers['to_host'] == 0
    if brief:
        assert numbers['warm_seconds'] is None
        assert 'parts_ms' not in numbers
    else:
        cold = numbers['trace_seconds'] + numbers['compile_seconds']
        assert 0 < numbers['warm_seconds'] < cold
        assert list(numbers['parts_ms']) == ['views', 'forward', 'backward', 'optimizer']
        assert numbers['parts_ms']['views'] > 0
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
