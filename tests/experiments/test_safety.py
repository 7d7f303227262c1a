import json

import pytest

from experiments import safety
from jssl.runs import checkpoints, contents
from tests import tiny


def test_what_safety_costs_is_measured(digits_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*tiny.arguments(digits_dir, mesh__devices=1), '--steps=2', '--json']
    assert safety.main(arguments) == 0
    said = capsys.readouterr().out
    found = json.loads(said.splitlines()[-1])
    for part, whole in (('keys', 'step'), ('checksums', 'save'), ('finite', 'save')):
        assert 0 < found[f'{part} of {whole}'] < 1
        assert 0 < found[part] < found[whole]
        assert f'{found[f"{part} of {whole}"]:.2%} of a {whole}' in said
    assert found['bytes'] > 1000
    assert checkpoints.write_contents is contents.write_contents


def test_bad_input_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert safety.main([tiny.CONFIG, '--config.batchsize=3']) == 2
    assert 'batch_size' in capsys.readouterr().err
