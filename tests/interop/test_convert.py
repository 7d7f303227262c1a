"""PyTorch checkpoints that become files of arrays."""

import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.cli import main
from jssl.interop import convert
from jssl.weights.files import read_weights
from tests.checks import refused
from tests.weights.test_files import ARRAYS, assert_same

torch = pytest.importorskip('torch')


def test_a_checkpoint_of_pytorch_is_converted_by_one_command(tmp_path: Path) -> None:
    tensors = {key: torch.from_numpy(value) for key, value in ARRAYS.items()}
    torch.save({'meta': {'epoch': 3}, 'state_dict': tensors}, tmp_path / 'x.pth')
    target = tmp_path / 'new' / 'x.safetensors'
    command = [sys.executable, '-m', 'jssl', 'import', str(tmp_path / 'x.pth'), str(target)]
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


def test_weights_are_found_under_any_name(tmp_path: Path) -> None:
    linear = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(linear.parameters())
    linear(torch.ones(2)).sum().backward()
    optimizer.step()
    whole = {'net_state': linear.state_dict(), 'optimizer': optimizer.state_dict()}
    torch.save({'last': whole, 'step': torch.tensor(3)}, tmp_path / 'x.pth')
    found = convert.read_checkpoint(tmp_path / 'x.pth')
    assert found.keys() == {'last.net_state.weight', 'last.net_state.bias', 'step'}


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': {'x': torch.ones(1)}, 'harm': Harmful()}, 'x.pth')
    with refused('x.pth', 'tensors alone', 'state_dict'):
        convert.convert(Path('x.pth'), Path('x.safetensors'))
    assert [path.name for path in tmp_path.iterdir()] == ['x.pth']


def test_what_cannot_be_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / 'x.pth', tmp_path / 'x.safetensors'
    assert main(['import', str(source), str(target)]) == 2
    assert f'jssl: There is no file {str(source)!r}' in capsys.readouterr().err
    source.write_bytes(b'')
    with refused('x.pth could not be read'):
        convert.convert(source, target)
    torch.save({'epoch': 1}, source)
    with refused('holds no tensors'):
        convert.convert(source, target)
    with refused('x.npz', '.safetensors'):
        convert.convert(source, tmp_path / 'x.npz')
    assert main(['import', str(source)]) == 2
    assert 'required: target' in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize('data', [b'\x89PNG\r\n\x1a\nx', b'', b'hello', b'\x80\x02cos\nsystem\n.'])
def test_another_kind_of_file_is_said_in_our_words(data: bytes, tmp_path: Path) -> None:
    (tmp_path / 'x.png').write_bytes(data)
    with refused('x.png could not be read: it is no checkpoint', 'torch.save(') as caught:
        convert.convert(tmp_path / 'x.png', tmp_path / 'x.safetensors')
    assert 'weights_only' not in str(caught.value)  # PyTorch advises to run what is in the file


def test_without_pytorch_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'torch', None)
    with refused("pip install 'jssl[torch]'"):
        convert.convert(tmp_path / 'x.pth', tmp_path / 'x.safetensors')


def quantised() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that it will be another package's
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


WRONG: dict[str, tuple[Any, Any]] = {
    'a number as a name': (0, None),
    'a tuple as a name': (('a', 1), None),
    'a surrogate in a name': ('a\ud800', None),
    'the name of the metadata': ('__metadata__', None),
    'sparse': ('w', torch.eye(3).to_sparse()),
    'quantised': ('w', quantised()),
    'without values': ('w', torch.empty(3, device='meta')),
    'one value, repeated': ('w', torch.ones(1).expand(10**10)),
    'complex': ('w', torch.ones(2, dtype=torch.complex64).conj()),
    'eight bits': ('w', torch.ones(2).to(torch.float8_e4m3fn)),
    'integers': ('w', torch.ones(2, dtype=torch.int16)),
    'truths': ('w', torch.ones(2, dtype=torch.bool)),
    'not a number': ('w', torch.tensor([1.0, torch.nan])),
    'infinite': ('w', torch.tensor([1.0, -torch.inf])),
}


@pytest.mark.parametrize('kind', WRONG)
def test_a_tensor_that_is_no_weight_is_named(kind: str, tmp_path: Path) -> None:
    name, tensor = WRONG[kind]
    torch.save({name: torch.ones(2) if tensor is None else tensor}, tmp_path / 'x.pth')
    with refused('x.pth could not be converted', repr(name)):
        convert.convert(tmp_path / 'x.pth', tmp_path / 'new' / 'x.safetensors')
    assert [path.name for path in tmp_path.iterdir()] == ['x.pth']


def test_counters_are_converted(tmp_path: Path) -> None:
    weights = {'bn.num_batches_tracked': torch.tensor(3), 'w': torch.tensor(2.0)}
    torch.save(weights, tmp_path / 'x.pth')
    convert.convert(tmp_path / 'x.pth', tmp_path / 'x.safetensors')
    found = read_weights(tmp_path / 'x.safetensors')
    assert (found['bn.num_batches_tracked'], found['w'].shape) == (3, ())


def test_a_changed_byte_of_a_weight_is_noticed(tmp_path: Path) -> None:
    weight = torch.arange(300.0)
    torch.save({'w': weight}, tmp_path / 'x.pth')
    data = bytearray((tmp_path / 'x.pth').read_bytes())
    data[data.find(weight.numpy().tobytes()) + 100] ^= 64
    (tmp_path / 'x.pth').write_bytes(data)
    with refused('x.pth could not be read', 'damaged'):
        convert.convert(tmp_path / 'x.pth', tmp_path / 'x.safetensors')


def test_a_checkpoint_that_swells_is_not_read(tmp_path: Path) -> None:
    torch.save({'w': torch.zeros(20_000_000)}, tmp_path / 'big.pth')
    with (
        zipfile.ZipFile(tmp_path / 'big.pth') as big,
        zipfile.ZipFile(tmp_path / 'x.pth', 'w', zipfile.ZIP_DEFLATED) as small,
    ):
        for entry in big.infolist():
            small.writestr(entry.filename, big.read(entry))
    with refused('x.pth could not be read', '80 MB'):
        convert.convert(tmp_path / 'x.pth', tmp_path / 'x.safetensors')


@pytest.mark.parametrize(
    'target', ['file/x.safetensors', 'folder.safetensors', '/dev/null/x/y.safetensors']
)
def test_a_target_that_cannot_be_written_is_named(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').touch()
    (tmp_path / 'folder.safetensors').mkdir()
    torch.save({'w': torch.ones(2)}, tmp_path / 'x.pth')
    assert main(['import', str(tmp_path / 'x.pth'), str(tmp_path / target)]) == 2
    said = capsys.readouterr().err
    assert Path(target).name in said
    assert 'could not be written' in said
    assert {path.name for path in tmp_path.iterdir()} == {'file', 'folder.safetensors', 'x.pth'}
