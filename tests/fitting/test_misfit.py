"""What a message advises where weights do not fit the network of a config."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from jssl.backbones import MAEViT, ResNet, VisionTransformer
from jssl.components import build
from jssl.fitting.misfit import SECTION, remedy
from jssl.overrides import apply, split
from tests.interop.layouts.test_layouts import file_of

SMALL = {'embed_dims': 16, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 32}


def typed(said: str, section: dict[str, Any]) -> Any:
    """The backbone of a config after what is advised was typed in a shell."""
    config: dict[str, Any] = {'model': {'type': 'ImageClassifier', 'backbone': section, 'head': {}}}
    assert ('question mark' in said) == ('num_heads=?' in said)
    overrides, rest = split(shlex.split(said.partition(': ')[2].replace('=?', '=2')))
    assert rest == []
    apply(config, overrides)
    return build('backbone', config['model']['backbone'])


def test_what_is_advised_can_be_typed_and_is_the_network_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / 'it.safetensors'
    save_file(file_of('timm-vit'), path)
    said = remedy(str(path), ResNet(18))
    assert f": {SECTION}='dict(type=" in said
    found = typed(said, {'type': 'ResNet', 'depth': 18})
    assert isinstance(found, VisionTransformer)
    assert found.interpolation == 'antialiased'
    assert remedy(str(path), found).startswith(' Give')  # what else differs is not known
    masked = {'type': 'MAEViT', 'arch': SMALL, 'patch_size': found.patch_size, 'mask_ratio': 0.5}
    said = remedy(str(path), MAEViT(SMALL, patch_size=found.patch_size))
    assert 'patch_size' not in said
    again = typed(said, masked)
    assert isinstance(again, MAEViT)
    assert (again.mask_ratio, again.interpolation) == (0.5, 'antialiased')
    assert again.size == found.size
    assert 'interpolation' not in remedy(str(path), again)


def test_a_run_says_its_network_itself(tmp_path: Path) -> None:
    network = {'type': 'ResNet', 'depth': 10, 'strides': [1, 2], 'out_indices': [2]}
    record = {'config': {'model': {'type': 'MoCo', 'backbone': network}}}
    (tmp_path / 'config.json').write_text(json.dumps(record))
    found = typed(remedy(str(tmp_path), ResNet(18)), {'type': 'ResNet', 'depth': 18})
    assert (found.depth, tuple(found.strides)) == (10, (1, 2))


@pytest.mark.parametrize('there', ['nothing', 'a run without a model', 'unknown names'])
def test_an_unknown_network_is_not_guessed(there: str, tmp_path: Path) -> None:
    path = tmp_path
    if there == 'a run without a model':
        (path / 'config.json').write_text('{"config": {}}')
    if there == 'unknown names':
        path = tmp_path / 'it.safetensors'
        save_file({'a': np.zeros(3, 'float32')}, path)
    assert remedy(str(path), ResNet(18)) == ''
