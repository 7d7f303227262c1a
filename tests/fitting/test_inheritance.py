import json
from pathlib import Path
from typing import Any, ClassVar

import flax.linen as nn
import pytest

from jssl.backbones import MAEViT, VisionTransformer
from jssl.backbones.counterpart import Counterpart
from jssl.components import build
from jssl.fitting.inheritance import counterpart, inherited
from tests.checks import refused

WANTED = ('model.backbone', 'data', 'test_data', 'canvas', 'eval_view')
VIT = {'embed_dims': 8, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 16}
RUN: dict[str, Any] = {
    'model': {'type': 'SimCLR', 'backbone': {'type': 'ResNet', 'depth': 18, 'strides': [1, 2]}},
    'data': {'type': 'TFDS', 'name': 'cifar10', 'split': 'train', 'data_dir': None},
    'test_data': {'type': 'TFDS', 'name': 'cifar10', 'split': 'test'},
    'canvas': 32,
    'eval_view': {'type': 'CenterView', 'size': 24, 'resize': 28, 'mean': [1.0, 2.0, 3.0]},
}


def run(folder: Path, **changes: Any) -> str:
    record = {'config': RUN | changes, 'versions': {}}
    (folder / 'config.json').write_text(json.dumps(record))
    return str(folder)


def config(pretrained: str, **model: Any) -> dict[str, Any]:
    return {'pretrained': pretrained, 'inherit': WANTED, 'model': {'backbone': {}, **model}}


def test_backbone_data_and_view_of_the_run_are_taken_over(tmp_path: Path) -> None:
    assert inherited(config(run(tmp_path))) == {
        'model.backbone': {'type': 'ResNet', 'depth': 18, 'strides': (1, 2)},
        'data': {'type': 'TFDS', 'name': 'cifar10', 'split': 'train'},
        'test_data': RUN['test_data'],
        'canvas': 32,
        'eval_view': RUN['eval_view'] | {'mean': (1.0, 2.0, 3.0)},
        'views.view.size': 24,
        'views.view.mean': (1.0, 2.0, 3.0),
    }


def test_a_run_in_a_home_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path.parent))
    run(tmp_path)
    assert inherited(config(f'~/{tmp_path.name}')) == inherited(config(str(tmp_path)))


def test_nothing_is_taken_over_without_a_run_or_without_asking(tmp_path: Path) -> None:
    assert inherited(config('')) == {}
    (tmp_path / 'backbone.safetensors').touch()
    assert inherited(config(str(tmp_path / 'backbone.safetensors'))) == {}
    assert inherited({'pretrained': run(tmp_path), 'model': {}}) == {}


def test_the_labelled_images_of_a_run_on_unlabelled_ones_are_taken(tmp_path: Path) -> None:
    labelled = {'type': 'Folder', 'path': 'labelled'}
    found = inherited(config(run(tmp_path, probe_data=labelled, test_data=None)))
    assert found['data'] == labelled
    assert found['test_data'] is None


@pytest.mark.parametrize('frozen', [True, False])
def test_a_masked_model_becomes_the_network_that_classifies(tmp_path: Path, frozen: bool) -> None:
    backbone = {'type': 'MAEViT', 'arch': VIT, 'img_size': 32, 'patch_size': 4, 'mask_ratio': 0.6}
    folder = run(tmp_path, model={'type': 'MAE', 'backbone': backbone})
    found = inherited(config(folder, frozen_backbone=frozen))['model.backbone']
    built = build('backbone', found)
    assert type(built).__name__ == 'VisionTransformer'
    assert (built.img_size, built.patch_size, built.size.num_layers) == (32, 4, 2)
    # A probe takes the class token after the pre-trained norm; fine-tuning the mean of the tokens.
    assert built.avg_token is not frozen
    assert built.final_norm is frozen
    assert built.fixed_positions is frozen


@pytest.mark.parametrize('name', ['CAEViT', 'MaskFeatViT'])
def test_a_probe_takes_no_class_token_that_nothing_has_trained(name: str) -> None:
    described = {'type': name, 'arch': VIT, 'img_size': 32, 'patch_size': 4}
    probed = build('backbone', counterpart(described, frozen=True))
    assert (probed.avg_token, probed.final_norm) == (True, True)
    tuned = build('backbone', counterpart(described, frozen=False))
    assert (tuned.avg_token, tuned.final_norm) == (True, False)
    assert tuned.use_rel_pos_bias is (name == 'CAEViT')
    assert not probed.use_rel_pos_bias


def test_counterparts_of_the_other_transformers() -> None:
    moco = build('backbone', counterpart({'type': 'MoCoV3ViT', 'arch': VIT}, frozen=False))
    assert moco.final_norm
    assert not moco.avg_token
    described = {'type': 'SimMIMSwinTransformer', 'window_size': 4, 'drop_path_rate': 0.0}
    swin = build('backbone', counterpart(described, frozen=False))
    assert type(swin).__name__ == 'SwinTransformer'
    assert (swin.window_size, swin.drop_path_rate) == (4, 0.0)
    described = {'type': 'DINOv3ViT', 'arch': VIT, 'num_registers': 2}
    vit = build('backbone', counterpart(described, frozen=False))
    assert type(vit).__name__ == 'VisionTransformer'
    assert (dict(vit.rotary), vit.num_registers, vit.local_cls_norm) == ({}, 2, True)
    plain = {'type': 'ResNet', 'depth': 18}
    assert counterpart(plain, frozen=True) == plain


class Mine(MAEViT):
    """A user's vision transformer."""

    extra: int = 3


class Net(nn.Module):
    """A network that classifies as it is."""

    width: int = 3


class Stripped(Net):
    """One whose weights another network of the user's takes."""

    counterpart: ClassVar[Counterpart] = Counterpart(Net, probed={'width': 4})


def test_a_network_of_one_s_own_says_what_classifies_or_inherits_it() -> None:
    described = {'type': f'{__name__}:Mine', 'arch': VIT, 'img_size': 32, 'extra': 5}
    tuned = build('backbone', counterpart(described, frozen=False))
    assert type(tuned) is VisionTransformer
    assert (tuned.img_size, tuned.avg_token, tuned.fixed_positions) == (32, True, False)
    own = {'type': f'{__name__}:Net', 'width': 3}
    assert counterpart(own, frozen=True) == own
    stripped = {'type': f'{__name__}:Stripped', 'width': 5}
    assert counterpart(stripped, frozen=False) == own | {'width': 5}
    assert counterpart(stripped, frozen=True) == own | {'width': 4}


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with refused('there is no such file or directory', 'Give the --workdir of a run'):
        inherited(config(str(tmp_path / 'nothing')))
    with refused("config.inherit='data' must be a tuple of names"):
        inherited({'pretrained': run(tmp_path), 'inherit': 'data', 'model': {}})


def test_a_run_that_says_too_little_is_refused(tmp_path: Path) -> None:
    with refused(str(tmp_path), 'not the directory of a run', 'config.json'):
        inherited(config(str(tmp_path)))
    with refused('does not say model.backbone', 'backbone.safetensors'):
        inherited(config(run(tmp_path, model='SimCLR(...)')))
