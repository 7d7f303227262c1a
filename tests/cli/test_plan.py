"""`jssl plan`: what it prints, and what is refused."""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from jssl.cli import main
from jssl.planning import program
from tests import tiny
from tests.conftest import ROOT

ONE_STAGE: dict[str, Any] = {
    'model__backbone__strides': '(2,)',
    'model__backbone__out_indices': '(1,)',
    'model__neck__in_channels': 4,
    'views__view__jitter': 0.0,
}


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no plugin is installed: one that is would start the tests anew."""
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)


def test_without_a_compiler_it_prints_what_shapes_tell(
    digits_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['plan', *tiny.arguments(digits_dir, **ONE_STAGE), '--on=8xh200']
    assert main(command) == 0
    said = capsys.readouterr().out
    for part in ('simclr on 8xh200', '32 over 8 devices, 4 on each', "pip install 'jax[cuda12]'"):
        assert part in said
    assert main([*command, '--json', '--images=64']) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['config'], found['on'], found['images']) == ('simclr', '8xh200', 64)
    assert f'  {found["parameters"]:,}\n' in said


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        ([], ['--on']),
        (['--on=9xh900'], ['--on=9xh900 is no machine', 'Valid names']),
        (['--on=v5e-8', '--images=0'], ['--images=0 must be a whole number of at least 1']),
        (['--on=v5e-8', '--largest=-1'], ['--largest=-1 must be']),
        (['--on=v5e-8', '--largets=8'], ['Did you mean --largest=8?']),
        (['--on=v5e-8', '--quick', '--largest=8'], ['not allowed with']),
        (
            ['--on=8xh100', '--config.batch_size=33'],
            ['give --config.batch_size=32 or --config.batch_size=40 or --on=3xh100.'],
        ),
        (['--on=8xh100', '--config.batch_size=1.5'], ['config.batch_size=1.5 must be']),
    ],
)
def test_the_command_refuses_in_one_paragraph(
    arguments: list[str],
    parts: list[str],
    digits_dir: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['plan', *tiny.arguments(digits_dir), *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert '\n' not in said
    for part in parts:
        assert part in said


def test_with_a_compiler_it_starts_anew_in_its_environment(
    digits_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Started(Exception):
        pass

    def execve(executable: str, argv: list[str], environment: dict[str, str]) -> None:
        raise Started(environment['TPU_ACCELERATOR_TYPE'])

    monkeypatch.setattr('importlib.util.find_spec', lambda name: name)
    monkeypatch.setattr('os.execve', execve)
    with pytest.raises(Started, match='v5litepod-8'):
        main(['plan', *tiny.arguments(digits_dir), '--on=v5e-8'])


# Minutes: pytest -m slow tests/cli/test_plan.py, where jax[cuda12] and jax[tpu] are installed
@pytest.mark.slow
@pytest.mark.parametrize(
    ('command', 'on', 'bound'),
    [
        (['mae:imagenet', '--config.model.backbone.scan_layers=True'], '8xh200', 5000),
        (['simclr:imagenet', '--quick'], 'v5e-64', 300),
        (['simclr', '--quick'], 'v5e-1', 10_000),
    ],
)
def test_a_recipe_is_compiled_without_the_machine(
    command: list[str], on: str, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    plugins = program.PLUGINS['tpu' if on.startswith('v') else 'cuda']
    if not any(map(importlib.util.find_spec, plugins)):
        pytest.skip(f'{plugins[0]} is not installed')
    done = subprocess.run(
        [sys.executable, '-m', 'jssl', 'plan', *command, f'--on={on}', '--json'],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    memory = found['memory']
    assert memory['fits']
    assert 0 < memory['aliased'] < memory['arguments'] < memory['total'] < memory['limit']
    assert found['to_host'] == []
    assert ('largest' in found) == ('--quick' not in command)
    assert '--quick' in command or found['largest']['batch_size'] > found['batch_size']
    assert found['roofline']['device_images_per_second'] > bound
