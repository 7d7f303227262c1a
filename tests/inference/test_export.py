"""Weights of a run in files for others, and what their features are worth elsewhere."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jssl
from jssl.cli import main
from jssl.evaluation.protocols import named, protocols
from jssl.interop.mmselfsup import export_state
from jssl.weights.files import read_weights
from tests.checks import refused

IMAGE = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)


def test_exported_files_and_their_page(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = jssl.load(run).features(IMAGE)
    for name, more in (('a.safetensors', ()), ('b.npz', ()), ('c.npz', ('--to=npz', '--whole'))):
        assert main(['export', str(run), f'--out={name}', *more]) == 0
        assert capsys.readouterr().out.splitlines() == [name, f'{name}.md']
        page = Path(f'{name}.md').read_text()
        code = re.findall('```python\n(.*?)```', page, flags=re.DOTALL)[0]
        assert len(code.splitlines()) == 3
        code = code.replace("['a.jpg', 'b.jpg']", 'IMAGE')
        found: dict[str, Any] = {'IMAGE': IMAGE}
        exec(compile(code, name, 'exec'), found)
        np.testing.assert_allclose(found['features'], expected, rtol=1e-6)
    for words in ('ResNet, pre-trained by SimCLR', '| images | 256 |', '| epochs | 1 |', 'kNN acc'):
        assert words in page
    assert '| resize | 32 |' in page
    assert str(run) not in page
    network = jssl.load(run)
    whole = export_state(network.params, network.state, algorithm=network.algorithm)
    assert read_weights('c.npz').keys() == whole.keys()
    for words in ('## Licence', '| mean |', 'linear probe accuracy'):
        assert words in page


def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path, capsys: Any) -> None:
    weights = str(run / 'backbone.safetensors')
    for given, words in (
        ([weights, '--out=a.npz', '--whole'], 'directory of a run'),
        ([weights, '--to=onyx', '--out=a.npz'], "no format 'onyx'"),
        ([weights, '--out=a.pth'], '.npz or .safetensors'),
        ([weights, '--to=npz', '--out=a.pth'], 'give a.npz.'),
        ([weights, '--to=npz', '--out='], 'give weights.npz.'),
        ([str(tmp_path), '--out=a.npz'], 'no run that can be loaded'),
    ):
        assert main(['export', *given]) == 2
        assert words in capsys.readouterr().err


def test_scores_on_data_of_ones_own(run: Path, digits_dir: str, capsys: Any) -> None:
    given = ['eval', str(run), '--data=tfds:embedded_digits/train[:256]', '--max_train=256']
    given += [f'--data_dir={digits_dir}', '--test_data=tfds:embedded_digits/test[:64]']
    assert main([*given, '--json']) == 0
    said = json.loads(capsys.readouterr().out)
    assert said['images'] == {'train': 256, 'test': 64}
    rows = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    last = [row for row in rows if row['kind'] == 'evaluation'][-1]
    for name, value in said['scores'].items():
        assert value == pytest.approx(last[name], rel=1e-4)
    assert {'knn', 'linear', 'rankme'} <= said['scores'].keys()
    assert main([*given[:-1], '--protocol=knn']) == 0
    said = capsys.readouterr().out
    assert '51 test images, 205 to learn from' in said
    assert 'knn' in said
    assert 'linear' not in said


def test_wrong_protocols_and_data_are_told(run: Path, tmp_path: Path, capsys: Any) -> None:
    assert set(protocols()) == {'knn', 'linear'}
    with refused('--protocol=lineal', "Did you mean 'linear'?"):
        named(['lineal'])
    with refused('knn twice'):
        named(['knn', 'knn'])
    from PIL import Image

    for number in range(5):
        Image.fromarray(IMAGE).save(tmp_path / f'{number}.png')
    assert main(['eval', str(run), f'--data=folder:{tmp_path}']) == 2
    assert '--data has no labels' in capsys.readouterr().err


def test_a_network_is_described_on_the_command_line(run: Path, tmp_path: Path, capsys: Any) -> None:
    bare = tmp_path / 'bare.safetensors'
    save_file(load_file(run / 'backbone.safetensors'), bare)
    backbone = jssl.load(run).config['model']['backbone']
    given = ['export', str(bare), f'--out={tmp_path}/it.npz']
    assert main(given) == 2
    assert '--backbone=' in capsys.readouterr().err
    assert main([*given, '--backbone=dict(type="ResNot")']) == 2
    assert "Did you mean 'ResNet'?" in capsys.readouterr().err
    assert main([*given, f'--backbone={backbone!r}']) == 0
    assert jssl.load(tmp_path / 'it.npz').backbone == jssl.load(run).backbone
