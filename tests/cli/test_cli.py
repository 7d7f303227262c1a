"""The command `jssl`: its verbs, their help, and how errors are told."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import jssl
from jssl import cli
from tests.conftest import ROOT


def test_the_overview_is_quick_and_names_every_verb() -> None:
    code = "import sys, jssl.cli as cli; cli.main(['--help']); assert 'jax' not in sys.modules"
    command = [sys.executable, '-c', code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    modules = {path.stem.rstrip('_') for path in Path(cli.__file__).parent.glob('*.py')}
    assert set(cli.VERBS) == modules & set(cli.VERBS)
    for verb, meaning in cli.VERBS.items():
        assert f'  {verb} ' in said
        assert meaning in said


@pytest.mark.parametrize('argument', ['--help', 'train'])
def test_nobody_has_to_read_what_is_printed(argument: str) -> None:
    code = f'import sys, jssl.cli as cli; sys.exit(cli.main([{argument!r}, "--help"]))'
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, '-c', code]
    ended = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert ended.returncode == 128 + signal.SIGPIPE
    assert ended.stderr == b''


@pytest.mark.parametrize('verb', cli.VERBS)
def test_every_verb_says_what_it_takes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, '--help']) == 0
    said = capsys.readouterr().out
    assert f'usage: jssl {verb}' in said
    assert f'\n    jssl {verb} ' in said  # an example


def test_help_names_the_configs_and_the_fields_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['train', '--help']) == 0
    said = capsys.readouterr().out
    assert {'simclr', 'eval/linear'} <= {*said.replace('\n', ' ').split(', ')}
    assert len(said.splitlines()) < 70
    for asked in (['views', '--config=simclr'], ['train', 'simclr', '--config.epochs=7']):
        assert cli.main([*asked, '--help']) == 0
        said = capsys.readouterr().out
        assert 'Chen et al. 2020' in said
        assert '\n  --config.optimizer.lr=0.006\n' in said
        by_place = 'train' in asked
        assert f'\n  --config.epochs={7 if by_place else 20}\n' in said
        assert ('\n  --config.optimizer.betas=' in said) != by_place
        assert ('fields: jssl train --config=simclr --help' in said) == by_place


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        (['trian'], "'trian' is no verb of jssl. Did you mean 'train'?"),
        (['import', 'x'], 'required: target (--help shows the arguments)'),
        (['import', 'x.pth', 'x.safetensors', '--ouput=x'], '--ouput=x is no argument.'),
        (['prepare', '--source=x', '--out=x', '--size=3', '--sise=3'], "Did you mean '--size'?"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith('jssl: ')
    assert said.count('\n') == 1
    assert words in said


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['--version']) == 0
    assert capsys.readouterr().out == f'jssl {jssl.__version__}\n'
