"""What arrays tell of networks that are no vision transformers, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.augment.views import CenterView
from jssl.interop.bring import place
from jssl.interop.companions import Companions
from jssl.interop.exporters import Parcel, formats, write
from tests.checks import refused
from tests.interop.layouts.test_layouts import OTHERS, arrays_of_other, file_of
from tests.interop.layouts.tiny import Arrays

SWIN = 'SwinTransformer'
TABLE = 'stages.1.blocks.0.attn.w_msa.relative_position_bias_table'


def test_names_of_mmpretrain_are_ours_and_its_wholes_are_recognised() -> None:
    arrays = {f'backbone.{key}': value for key, value in arrays_of_other(SWIN).items()}
    brought = place(arrays, 'it')
    assert brought.layout is not None
    assert brought.layout.name == 'mmpretrain-swin'
    assert brought.network is not None
    assert brought.network['window_size'] == 2
    assert not brought.is_foreign


@pytest.mark.parametrize(('name', 'wrapper'), [('swin', 'encoder.'), ('hf-swin', 'swin.')])
def test_of_simmim_the_encoder_is_taken(name: str, wrapper: str) -> None:
    weights = {f'{wrapper}{key}': value for key, value in file_of(name).items()}
    weights |= {'decoder.0.weight': np.ones((8, 8, 1, 1), 'float32')}
    # Of some files, and follows from the size of a window.
    weights |= {f'{wrapper}layers.0.blocks.1.attn_mask': np.ones((4, 4, 4), 'float32')}
    brought = place(weights, 'it')
    assert brought.layout is not None
    assert brought.layout.name == name
    assert brought.arrays.keys() == arrays_of_other(SWIN).keys()
    assert '1 more beside' in brought.said


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({TABLE: np.ones((25, 2), 'float32')}, 'windows of 2, 3 tokens'),
        ({TABLE: np.ones((16, 2), 'float32')}, '16 entries'),
        ({'stages.0.blocks.0.ffn.layers.0.0.weight': np.ones((8, 4), 'float32')}, '8 wide'),
    ],
)
def test_swins_that_jssl_does_not_have_are_refused(change: Arrays, words: str) -> None:
    with refused('taken for', words):
        place(arrays_of_other(SWIN) | change, 'it', 'mmpretrain-swin')


def test_what_a_config_beside_says_of_a_swin() -> None:
    told: dict[str, Any] = {'hidden_size': 8, 'layer_norm_eps': 1e-5, 'hidden_act': 'gelu'}
    images = {'image_mean': [0.5] * 3, 'image_std': [0.25] * 3}
    brought = place(file_of('hf-swin'), 'it', companions=Companions(told, images))
    assert brought.view['mean'] == (127.5,) * 3
    for odd, words in (({'layer_norm_eps': 1e-3}, '0.001'), ({'hidden_act': 'relu'}, 'relu')):
        with refused(words):
            place(file_of('hf-swin'), 'it', companions=Companions(told | odd))


def sparse_names() -> dict[str, str]:
    """What a run of FCMAE calls the modules of the tiny network, by our names."""
    names = {'downsample_layers.1.0': 'downsample_layers.1.0.ln'}
    for block in ('stages.0.0', 'stages.1.0', 'stages.1.1'):
        names |= {f'{block}.depthwise_conv': f'{block}.dwconv', f'{block}.norm': f'{block}.norm.ln'}
        names |= {f'{block}.pointwise_conv{n}': f'{block}.pwconv{n}.linear' for n in (1, 2)}
    return names


def test_sparse_kernels_of_a_run_of_fcmae_come_in() -> None:
    ours = {key: value for key, value in arrays_of_other('ConvNeXt').items() if 'norm1' not in key}
    sparse, names = {}, sparse_names()
    for key, value in ours.items():
        module, _, leaf = key.rpartition('.')
        if value.ndim == 4 and module != 'downsample_layers.0.0':
            whole = value.transpose(3, 2, 1, 0)  # columns, rows, in, out
            leaf, value = 'kernel', whole.reshape(-1, *whole.shape[2:])
            value = value[:, 0] if 'depthwise' in module else value
        elif 'depthwise' in module or 'grn' in module or module == 'downsample_layers.1.1':
            value = value[None]
        sparse[f'encoder.{names.get(module, module)}.{leaf}'] = value
    brought = place(sparse | {'decoder.0.grn.gamma': np.ones((1, 4), 'float32')}, 'it')
    assert brought.layout is not None
    assert brought.layout.name == 'convnext'
    assert brought.network is not None
    assert not brought.network['final_norm']
    assert brought.arrays.keys() == ours.keys()
    for key, value in ours.items():
        np.testing.assert_array_equal(brought.arrays[key], value, err_msg=key)


def test_convolutions_in_groups_are_told_by_their_widths() -> None:
    plain = arrays_of_other('ResNet')
    shapes = {f'layer1.0.conv{n}.weight': np.ones((8, 2, 1, 1), 'float32') for n in (1, 3)}
    arrays = plain | shapes | {'layer1.0.conv2.weight': np.ones((8, 4, 3, 3), 'float32')}
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        arrays |= {f'layer{stage}.{n}.conv1.weight': np.ones(1, 'float32') for n in range(blocks)}
    arrays |= {'layer1.0.conv1.weight': np.ones((8, 2, 1, 1), 'float32')}
    told = {'type': 'ResNeXt', 'depth': 50, 'base_channels': 2, 'groups': 2, 'width_per_group': 4}
    assert place(arrays, 'it', 'resnet').network == told


@pytest.mark.parametrize(
    ('kind', 'to', 'fields', 'words'),
    [
        ('ConvNeXt', 'timm', {'final_norm': False}, 'final_norm=False'),
        ('ConvNeXt', 'huggingface', {'layer_scale': 0.5}, 'layer_scale=0.5'),
        ('ConvNeXt', 'torchvision', {}, 'is a VisionTransformer or SwinTransformer or ResNet'),
        ('ResNet', 'huggingface', {'strides': (2, 1, 2, 2)}, 'strides=(2, 1, 2, 2)'),
        ('ResNetV1d', 'huggingface', {}, 'a ResNetV1d'),
    ],
)
def test_what_others_do_not_have_is_not_written(
    kind: str, to: str, fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    backbone = OTHERS[kind].clone(**fields)
    target = tmp_path / f'x{formats()[to].ENDING}'
    with refused(words, 'export it as'):
        write(target, Parcel(arrays_of_other(kind), {}, backbone), to)


def test_another_activation_of_a_residual_network_is_refused() -> None:
    with refused("hidden_act='gelu'", 'relu'):
        place(file_of('hf-resnet'), 'it', companions=Companions({'hidden_act': 'gelu'}))


def test_a_config_beside_says_how_images_of_a_residual_network_are_prepared() -> None:
    timm = {'num_features': 16, 'pretrained_cfg': {'mean': [0.5] * 3, 'std': [0.5] * 3}}
    images = {'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}
    for name, companions in (
        ('resnet', Companions(timm)),
        ('hf-resnet', Companions({'hidden_sizes': [2, 4, 8, 16], 'hidden_act': 'relu'}, images)),
    ):
        view = place(file_of(name), 'it', companions=companions).view
        assert view == dict(size=224, resize=256, mean=(127.5,) * 3, std=(127.5,) * 3)


@pytest.mark.parametrize(
    ('told', 'expected'),
    [
        (
            {'interpolation': 'bicubic', 'crop_pct': 0.9},
            {'interpolation': 'bicubic', 'resize': 248},
        ),
        ({'interpolation': 'random', 'crop_pct': 0}, {'resize': 256}),
        ({'crop_pct': 1}, {'resize': 224}),
        (
            {'resample': 3, 'size': {'shortest_edge': 248}},
            {'interpolation': 'bicubic', 'resize': 248},
        ),
        ({'resample': 0, 'size': {'shortest_edge': 100}}, {'resize': 256}),
    ],
)
def test_a_config_beside_says_the_crop_and_the_interpolation(
    told: dict[str, Any], expected: dict[str, Any]
) -> None:
    timm = not {'resample', 'size'} & told.keys()
    config = {'num_features': 8, 'pretrained_cfg': told} if timm else {}
    view = Companions(config, {} if timm else told).view(8, 224)
    assert view == {'size': 224} | expected
    assert CenterView(**view).size == 224
