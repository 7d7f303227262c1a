"""What the page beside exported weights says of other libraries runs there, offline."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.augment.views import CenterView
from jssl.backbones import ResNet, ResNetSobel, ResNeXt, SwinTransformer, VisionTransformer
from jssl.interop.exporters import Parcel, formats, use, write
from jssl.runs.describe import describe
from tests.checks import refused
from tests.interop.layouts.others import library
from tests.interop.layouts.tiny import arrays_in, arrays_of

ARCH = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16)
NETWORK = VisionTransformer(ARCH, img_size=12, patch_size=4)
VIEW = CenterView(size=12, resize=12)
PARCEL = Parcel(arrays_of(), describe(NETWORK, VIEW, 24, 3), NETWORK)


def used(path: str, parcel: Parcel = PARCEL) -> dict[str, Any]:
    """What the lines of a page leave, run beside the weights that they are about."""
    found, to = Path(path), Path(path).stem
    write(found, parcel, to)
    code = re.findall('```python\n(.*?)```', use(found, parcel, to), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code[0], path, 'exec'), names)
    return names


def test_transformers_makes_the_network_and_prepares_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    library('transformers')
    from PIL import Image

    Image.new('RGB', (20, 15), 'white').save('a.jpg')
    larger = CenterView(size=16, resize=16)
    parcel = Parcel(arrays_of(), describe(NETWORK, larger, 32, 3), NETWORK)
    assert used('huggingface', parcel)['outputs'].last_hidden_state.shape == (1, 17, 8)
    found = used('huggingface')
    assert found['outputs'].last_hidden_state.shape == (1, 10, 8)
    weights = found['network'].state_dict()['embeddings.patch_embeddings.projection.weight']
    np.testing.assert_array_equal(weights, arrays_of()['patch_embed.projection.weight'])
    image = np.full((20, 15, 3), 255, 'uint8')
    pixels = found['images'](image, return_tensors='np')['pixel_values']
    white = (255 - np.array(VIEW.mean)) / np.array(VIEW.std)
    expected = np.broadcast_to(white[None, :, None, None], (1, 3, 12, 12))
    np.testing.assert_allclose(pixels, expected, rtol=1e-5)


def test_timm_makes_the_network_and_prepares_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library('timm')
    import timm as of_timm
    from PIL import Image

    found = used('timm')
    weights = found['network'].state_dict()['patch_embed.proj.weight']
    np.testing.assert_array_equal(weights, arrays_of()['patch_embed.projection.weight'])
    pixels = found['images'](Image.new('RGB', (20, 15), 'white')).numpy()
    white = (255 - np.array(VIEW.mean)) / np.array(VIEW.std)
    expected = np.broadcast_to(white[:, None, None], (3, 12, 12))
    np.testing.assert_allclose(pixels, expected, rtol=1e-5)
    # The file alone is loaded by the name and the arguments.
    said = json.loads(Path('timm', 'config.json').read_text())
    alone = of_timm.create_model(
        said['architecture'],
        num_classes=0,
        checkpoint_path='timm/model.safetensors',
        **said['model_args'],
    )
    again = alone.state_dict()['patch_embed.proj.weight']
    np.testing.assert_array_equal(again, weights)


def test_torchvision_makes_networks_of_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library('torchvision')
    import torch

    swin = SwinTransformer(dict(embed_dims=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 2)))
    swin = swin.clone(shifting='by_axis', pad_small_map=True)
    for network, place in (
        (NETWORK, 'conv_proj.weight'),
        (ResNet(10), 'conv1.weight'),
        (swin, 'features.0.0.weight'),
    ):
        arrays = arrays_of() if network is NETWORK else arrays_in(network)
        parcel = Parcel(arrays, describe(network, VIEW, 24, 3), network)
        found = used('torchvision.safetensors', parcel)['network']
        ours = 'conv1.weight' if place == 'conv1.weight' else 'patch_embed.projection.weight'
        np.testing.assert_array_equal(found.state_dict()[place], arrays[ours])
        assert not found.training
    assert found(torch.zeros(1, 3, 32, 32)).shape == (1, 64)
    grouped = ResNeXt(50, 64, groups=2, width_per_group=32)
    said = use(Path('torchvision.safetensors'), Parcel(arrays, {}, grouped), 'torchvision')
    assert 'groups=2, width_per_group=32' in said


@pytest.mark.parametrize(
    ('to', 'network', 'words'),
    [
        ('torchvision', ResNet(10, 4), 'base_channels=4'),
        ('torchvision', ResNet(10, strides=(1, 2), out_indices=(2,)), 'strides=(1, 2)'),
        ('timm', ResNet(10, 4, cifar_stem=True), '--config.model.backbone.cifar_stem=False'),
        ('huggingface', ResNetSobel(10, 4), 'which sees gradients'),
        ('torchvision', ResNetSobel(10, 4, cifar_stem=True), 'which sees gradients'),
    ],
)
def test_a_residual_network_that_others_cannot_make_leaves_nothing(
    to: str, network: Any, words: str, tmp_path: Path
) -> None:
    parcel = Parcel(arrays_in(network), {}, network)
    with refused(words, '--to=safetensors'):
        write(tmp_path / f'it{formats()[to].ENDING}', parcel, to)
    assert not list(tmp_path.iterdir())
