"""What tells of weights beside their arrays: prefixes, our own metadata, others' configs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from jssl.backbones import VisionTransformer
from jssl.inference.load import load
from jssl.interop.bring import bring, place
from jssl.interop.exporters import Parcel, formats, write
from jssl.interop.layouts.vit import timm_tower
from jssl.runs.describe import describe
from tests.checks import refused
from tests.interop.layouts.test_layouts import file_of
from tests.interop.layouts.tiny import WIDTH, Arrays, arrays_of

NETWORK = VisionTransformer(
    dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=16),
    img_size=12,
    patch_size=4,
)
OWN = dict(qkv_bias=False, layer_scale=1.0)
ROTARY = dict(rotary={}, mask_k_bias=True)
OF_ROTARY = dict(table=False, key_bias=False)
# What other libraries have another network for: the format, the network, its arrays.
SENT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    'own biases and scales': ('timm', OWN, dict(own_biases=True, scales=True)),
    'own biases, scaled, in MMPretrain': ('mmpretrain', OWN, dict(own_biases=True, scales=True)),
    'own biases in torchvision': ('torchvision', dict(qkv_bias=False), dict(own_biases=True)),
    'rotary without scales': ('timm', ROTARY, OF_ROTARY),
    'rotary with registers': (
        'timm',
        ROTARY | dict(num_registers=2),
        OF_ROTARY | dict(registers=2),
    ),
    'rotary without scales in Hugging Face': ('huggingface', ROTARY, OF_ROTARY),
    'registers without scales': ('huggingface', dict(num_registers=2), dict(registers=2)),
    'gates without scales': ('huggingface', dict(ffn='swiglu_fused'), dict(ffn='swiglu_fused')),
    'own biases without a table': (
        'timm',
        OWN | dict(use_abs_pos_emb=False),
        dict(own_biases=True, scales=True, table=False),
    ),
}


def without_mask(arrays: Arrays) -> Arrays:
    """Which other libraries do not have, or in any case."""
    return {key: value for key, value in arrays.items() if key != 'mask_token'}


@pytest.mark.parametrize('kind', SENT)
def test_what_goes_out_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    to, fields, options = SENT[kind]
    if options.get('ffn'):
        fields = fields | dict(arch={**NETWORK.arch, 'feedforward_channels': 24})  # type: ignore[dict-item]
    network, arrays = NETWORK.clone(**fields), arrays_of(**options)
    said = describe(network, None, 24, 3) | {'eval_view': '{"type": "CenterView", "size": 12}'}
    path = write(tmp_path / f'it{formats()[to].ENDING}', Parcel(arrays, said, network), to)
    brought = bring(path)
    assert without_mask(brought.arrays).keys() == without_mask(arrays).keys()
    for key, value in without_mask(arrays).items():
        np.testing.assert_array_equal(brought.arrays[key], value, err_msg=key)
    assert load(path).backbone == network


@pytest.mark.parametrize('masked', [True, False])
def test_a_config_tells_whether_there_is_a_mask_token(masked: bool, tmp_path: Path) -> None:
    arrays = arrays_of(scales=True)
    arrays = arrays if masked else without_mask(arrays)
    parcel = Parcel(arrays, {}, NETWORK.clone(layer_scale=1.0))
    path = write(tmp_path / 'it', parcel, 'huggingface')
    assert bring(path).arrays.keys() == arrays.keys()
    assert json.loads((path / 'config.json').read_text())['use_mask_token'] is masked


@pytest.mark.parametrize('prefix', ['net.', 'module._orig_mod.', 'student.encoder.'])
@pytest.mark.parametrize('name', ['timm-vit', 'hf-dinov2', 'timm-swin'])
def test_any_name_may_stand_before_all(name: str, prefix: str) -> None:
    plain = file_of(name)
    weights = {prefix + key: value for key, value in plain.items()} | {'epoch': np.array(3)}
    brought = place(weights, 'it')
    assert brought.layout is not None
    assert brought.layout.name == name
    assert f'1 more beside {prefix!r}' in brought.said
    assert brought.arrays.keys() == place(plain, 'it').arrays.keys()
    assert place(weights, 'it', name).arrays.keys() == brought.arrays.keys()


def test_one_of_several_networks_has_to_be_kept() -> None:
    weights = {
        f'{part}.{key}': value + (part == 'slow')
        for part in ('fast', 'slow')
        for key, value in file_of('timm-vit').items()
    }
    with refused("'fast.', 'slow.'", '--leave_out=fast.'):
        place(weights, 'it')
    kept = place(weights, 'it', leave_out=['fast.'])
    np.testing.assert_array_equal(kept.arrays['cls_token'], weights['slow.cls_token'])


def activation_of(name: str, folder: Path, config: dict[str, Any]) -> Any:
    save_file(file_of(name), folder / 'model.safetensors')
    (folder / 'config.json').write_text(json.dumps(config))
    brought = bring(folder)
    assert brought.network is not None
    return brought.network.get('activation')


HF = {'hidden_size': WIDTH}
TIMM = {'num_features': WIDTH}


@pytest.mark.parametrize(
    ('name', 'config', 'activation'),
    [
        ('hf-siglip', HF | {'hidden_act': 'gelu'}, 'gelu'),
        ('hf-siglip', {}, 'gelu_tanh'),
        ('hf-vit', HF | {'hidden_act': 'gelu_pytorch_tanh'}, 'gelu_tanh'),
        ('hf-dinov3', HF | {'hidden_act': 'silu'}, None),
        ('timm-vit', TIMM | {'model_args': {'act_layer': 'gelu_tanh'}}, 'gelu_tanh'),
        ('eva02', TIMM | {'model_args': {'act_layer': 'relu'}}, None),
    ],
)
def test_activations_are_those_that_a_config_tells(
    name: str, config: dict[str, Any], activation: str | None, tmp_path: Path
) -> None:
    assert activation_of(name, tmp_path, config) == activation


@pytest.mark.parametrize(
    ('name', 'config', 'words'),
    [
        ('hf-dinov3', HF | {'hidden_act': 'gelu'}, "'gelu'"),
        ('hf-vit', HF | {'hidden_act': ['gelu']}, "['gelu']"),
        ('timm-vit', TIMM | {'model_args': {'act_layer': 'quick_gelu'}}, "'quick_gelu'"),
        ('timm-vit', TIMM | {'architecture': 'vit_base_patch16_rpn_224'}, 'computes otherwise'),
        ('hf-convnext', {'hidden_sizes': [2, 4], 'hidden_act': 'gelu_pytorch_tanh'}, 'tells the'),
        ('hf-swin', {'hidden_size': 8, 'hidden_act': 'relu'}, "'relu'"),
    ],
)
def test_what_a_config_tells_and_no_network_has_is_refused(
    name: str, config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with refused('config.json', words):
        activation_of(name, tmp_path, config)


def test_a_bias_of_the_key_is_kept_where_there_is_one() -> None:
    weights = file_of('hf-dinov3')
    bias = {'layer.0.attention.k_proj.bias': np.ones(WIDTH, 'float32')}
    for more, masked in (({}, True), (bias, False)):
        brought = place(weights | more, 'it')
        assert brought.network is not None
        assert brought.network['mask_k_bias'] is masked


@pytest.mark.parametrize(
    ('width', 'patch', 'rows', 'heads', 'activation'),
    [
        (768, 16, 196, None, 'gelu'),
        (768, 32, 64, None, 'gelu_tanh'),
        (1024, 16, 576, None, 'gelu'),
        (1024, 16, 1024, None, 'gelu_tanh'),
        (1152, 14, 256, 16, 'gelu'),
        (1536, 16, 256, 16, 'gelu_tanh'),
    ],
)
def test_towers_that_timm_has(
    width: int, patch: int, rows: int, heads: int | None, activation: str
) -> None:
    shapes = {
        'patch_embed.projection.weight': (width, 3, patch, patch),
        'pos_embed': (1, rows, width),
    }
    arrays = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}
    assert timm_tower(arrays) == {'num_heads': heads, 'activation': activation}
