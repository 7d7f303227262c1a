"""What a file says of itself goes with its weights, and is not trusted further than by `load`."""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jssl.backbones import ResNet, VisionTransformer
from jssl.inference.carry import carry
from jssl.inference.load import load
from jssl.interop.metadata import read_metadata
from jssl.runs.describe import config_of
from tests.checks import refused
from tests.interop.layouts.tiny import WIDTH, arrays_in, arrays_of

SIZE = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=16)
NETWORK = VisionTransformer(SIZE, img_size=12, patch_size=4)
VIEW = dict(type='CenterView', size=8, resize=9, mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
SAID = {
    'backbone': json.dumps(config_of(NETWORK)),
    'eval_view': json.dumps(VIEW),
    'canvas': '20',
    'channels': '3',
    'data': 'photos',
}


def silent(line: str) -> None:
    del line


def written(path: Path, **said: str) -> Path:
    save_file(arrays_of(), path, said)
    return path


def test_what_a_file_says_of_itself_goes_with_its_weights(tmp_path: Path) -> None:
    source = written(tmp_path / 'it.safetensors', **SAID)
    folder = carry(source, tmp_path / 'timm', 'timm', report=silent)
    again = read_metadata(carry(folder, tmp_path / 'it.npz', 'npz', report=silent))
    assert again['data'] == 'photos'
    assert again['canvas'] == '20'
    view = json.loads(again['eval_view'])
    assert {name: view[name] for name in VIEW} == VIEW
    told = json.loads((folder / 'config.json').read_text())['pretrained_cfg']
    assert told['input_size'] == [3, 8, 8]


def test_a_class_that_a_file_names_is_not_run(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / 'somebodys.py').write_text('raise SystemExit(3)')
    monkeypatch.syspath_prepend(tmp_path)
    source = written(tmp_path / 'it.safetensors', backbone='{"type": "somebodys:Network"}')
    for to in ('npz', 'timm'):
        with refused("'somebodys:Network'", '--backbone='):
            carry(source, tmp_path / f'out.{to}', to, report=silent)
    assert 'somebodys' not in sys.modules


@pytest.mark.parametrize('said', ['{no', '[1]', '"x"'])
def test_damaged_metadata_are_refused(said: str, tmp_path: Path) -> None:
    source = written(tmp_path / 'it.safetensors', backbone=said)
    with refused('it.safetensors', 'backbone'):
        carry(source, tmp_path / 'out.npz', 'npz', report=silent)


@pytest.mark.parametrize('channels', [1, 4])
def test_images_have_the_channels_of_the_first_kernel(channels: int, tmp_path: Path) -> None:
    arrays = arrays_of()
    kernel = arrays['patch_embed.projection.weight']
    arrays['patch_embed.projection.weight'] = np.resize(kernel, (WIDTH, channels, 4, 4))
    save_file(arrays, tmp_path / 'it.safetensors')
    network: Any = load(tmp_path / 'it.safetensors', backbone=NETWORK, report=silent)
    assert network.channels == channels
    assert network.view.mean == pytest.approx((114.495,) * channels)


def test_a_program_needs_to_know_how_images_are_prepared(tmp_path: Path) -> None:
    told = {name: text for name, text in SAID.items() if name != 'eval_view'}
    source = written(tmp_path / 'it.safetensors', **told)
    with refused('it.safetensors', 'how images are prepared', '--to=safetensors'):
        carry(source, tmp_path / 'it.stablehlo', 'stablehlo', report=silent)


def test_arrays_without_a_place_are_told(tmp_path: Path) -> None:
    attention = {'layer1.0.se.fc1.weight': np.ones((2, 8, 1, 1), 'float32')}
    arrays = arrays_in(ResNet(10, 8))
    classifier = {'fc.weight': np.ones((7, 64), 'float32')}
    save_file(arrays | classifier, tmp_path / 'it.safetensors')
    found = carry(tmp_path / 'it.safetensors', tmp_path / 'mm.safetensors', 'mmpretrain')
    assert not [key for key in load_file(found) if 'fc.' in key]
    save_file(arrays | attention, tmp_path / 'it.safetensors')
    for load_it in (load, functools.partial(carry, target=tmp_path / 'x', to='timm')):
        with refused('it.safetensors', "'backbone.layer1.0.se.fc1.weight' (2, 8, 1, 1)"):
            load_it(tmp_path / 'it.safetensors')


def test_weights_of_another_shape_do_not_go_out(tmp_path: Path) -> None:
    source = written(tmp_path / 'it.safetensors')
    for fields in (dict(img_size=16), dict(arch={**SIZE, 'feedforward_channels': 32})):
        with refused('it.safetensors', 'has shape', 'where the model has'):
            carry(source, tmp_path / 'x', 'timm', backbone=NETWORK.clone(**fields), report=silent)


def test_a_name_that_is_too_long_is_none() -> None:
    with refused('there is no such file'):
        load('x' * 5000)
