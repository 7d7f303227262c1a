"""What is compared are the same views: sizes, mean and deviation of levels over many draws."""

import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed (extra: bench)')
for library in ('kornia', 'torchvision'):
    if not importlib.util.find_spec(library):
        pytest.skip(f'{library} is not installed (extra: bench)', allow_module_level=True)

from experiments import beside_views, torch_device  # noqa: E402  they import both


def test_all_three_make_the_same_views(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_device, 'use_cores', lambda count: None)  # of the whole process
    batch = beside_views.canvases(24)
    program = beside_views.compiled(16, batch)
    monkeypatch.setattr(beside_views, 'compiled', lambda size, batch: program)
    monkeypatch.setattr(beside_views, 'canvases', lambda images: batch)
    results = tmp_path / 'views.jsonl'
    arguments = ['--size=16', '--block=48', '--repeats=1', f'--results={results}', '--json']
    assert beside_views.main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    kept = json.loads(results.read_text())
    assert kept == json.loads(said[-1])
    assert kept['versions']['kornia']
    for name in ('torchvision', 'kornia'):
        assert kept['over_ours'][name]['lowest'] > 0
        assert any(line.strip().startswith(f'{name} / jssl') for line in said)
    ours = np.concatenate(program(jax.random.key(0), batch)['views'])
    pixels = np.asarray(batch['canvas'].pixels)[:, : beside_views.HEIGHT, : beside_views.WIDTH]
    images = torch.tensor(pixels).permute(0, 3, 1, 2)
    torch.manual_seed(0)
    for make in beside_views.OTHERS.values():
        theirs = beside_views.finished(make(16), images).numpy()
        assert theirs.shape == (48, 3, 16, 16)
        assert theirs.dtype == ours.dtype
        np.testing.assert_allclose(theirs.mean((0, 2, 3)), ours.mean((0, 1, 2)), atol=0.4)
        np.testing.assert_allclose(theirs.std((0, 2, 3)), ours.std((0, 1, 2)), atol=0.4)


def test_too_many_cores_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert beside_views.main(['--threads=100000']) == 2
    assert '--threads=100000' in capsys.readouterr().err
