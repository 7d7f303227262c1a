"""PyTorch checkpoints that become files of arrays."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jssl.interop import convert
from jssl.interop.weights import read_weights
from tests.checks import refused
from tests.interop.test_weights import ARRAYS, assert_same

torch = pytest.importorskip('torch')


def test_a_checkpoint_of_pytorch_is_converted_by_one_command(tmp_path: Path) -> None:
    tensors = {key: torch.from_numpy(value) for key, value in ARRAYS.items()}
    torch.save({'meta': {'epoch': 3}, 'state_dict': tensors}, tmp_path / 'x.pth')
    target = tmp_path / 'new' / 'x.safetensors'
    command = [sys.executable, '-m', 'jssl.interop.convert', str(tmp_path / 'x.pth'), str(target)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f'{target}: 2 tensors\n'
    assert_same(read_weights(target))
    assert [path.name for path in target.parent.iterdir()] == ['x.safetensors']


def test_other_containers_views_and_precisions(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {'turned': shared.T, 'row': shared[1], 'half': shared.bfloat16(), 'number': 3}
    torch.save({'model': tensors}, tmp_path / 'x.pt')
    assert convert.convert(tmp_path / 'x.pt', tmp_path / 'x.safetensors') == 3
    found = read_weights(tmp_path / 'x.safetensors')
    np.testing.assert_array_equal(found['turned'], shared.T)
    np.testing.assert_array_equal(found['row'], [3, 4, 5])
    assert found['half'].dtype == 'float32'


class Harmful:
    """Its unpickling would write a file."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (Path('harm'),))


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': {'x': torch.ones(1)}, 'harm': Harmful()}, 'x.pth')
    with refused('x.pth', 'tensors alone', 'state_dict'):
        convert.convert(Path('x.pth'), Path('x.safetensors'))
    assert [path.name for path in tmp_path.iterdir()] == ['x.pth']


def test_what_cannot_be_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / 'x.pth', tmp_path / 'x.safetensors'
    assert convert.main([str(source), str(target)]) == 2
    assert 'x.pth could not be read' in capsys.readouterr().err
    source.write_bytes(b'')
    assert convert.main([str(source), str(target)]) == 2
    torch.save({'epoch': 1}, source)
    with refused('holds no tensors'):
        convert.convert(source, target)
    with refused('x.npz', '.safetensors'):
        convert.convert(source, tmp_path / 'x.npz')
    assert convert.main([str(source)]) == 2
    assert 'python -m jssl.interop.convert' in capsys.readouterr().out
    assert not target.exists()


def test_without_pytorch_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'torch', None)
    with refused("pip install 'jssl[torch]'"):
        convert.convert(tmp_path / 'x.pth', tmp_path / 'x.safetensors')
