import json

import pytest

from experiments import loading


def test_loader_and_bare_decoding_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ['--threads', '2', '--workers', '--batch=4', '--blocks=2', '--json']
    assert loading.main(arguments) == 0
    said = capsys.readouterr().out
    assert 'one core, CPU time' in said
    found = json.loads(said.splitlines()[-1])
    assert found.keys() == {'core', '2 threads'}
    for numbers in found.values():
        assert numbers['bare'] > 0
        low, high = numbers['shares']
        assert 0 < low <= numbers['share'] <= high
