"""Names of other libraries: recognised, taken here, given back, and refused where they are odd."""

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import jssl
from jssl.augment.views import CenterView
from jssl.backbones import ConvNeXtV2, ResNet, ResNetV1d, SwinTransformer, VisionTransformer
from jssl.cli import main
from jssl.inference.carry import carry
from jssl.interop.bring import bring, place
from jssl.interop.convert import read_checkpoint
from jssl.interop.exporters import Parcel, formats, write
from jssl.interop.layouts import LAYOUTS, find, recognise
from jssl.interop.layouts.beit import ROTARY as ROTARY_OF_EVA
from jssl.interop.metadata import read_metadata
from tests.checks import refused
from tests.interop.layouts.tiny import WIDTH, Arrays, arrays_in, arrays_of

NETWORK = VisionTransformer(
    arch=dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=24),
    img_size=12,
    patch_size=4,
)
ROTARY = NETWORK.clone(rotary={}, mask_k_bias=True)
OWN = NETWORK.clone(qkv_bias=False)
OTHERS: dict[str, Any] = {
    'SwinTransformer': SwinTransformer(
        dict(embed_dims=4, depths=(1, 2), num_heads=(1, 2)),
        img_size=8,
        patch_size=2,
        window_size=2,
        out_indices=(1,),
    ),
    'ResNet': ResNet(10, 2),
    'ResNetV1d': ResNetV1d(10, 2),
    'ConvNeXt': ConvNeXtV2(dict(depths=(1, 2), channels=(2, 4)), out_indices=(1,)),
}
DINOV3 = dict(table=False, scales=True, key_bias=False)
BEIT = dict(own_biases=True, scales=True)
# Of each layout a network that it is for; what is not named is a plain one.
KINDS: dict[str, dict[str, Any]] = {
    'dinov3': dict(ffn='swiglu', registers=2, **DINOV3),
    'dinov2-registers': dict(ffn='swiglu_fused', registers=2, scales=True),
    'dinov2': dict(scales=True),
    'dinov2-training': dict(scales=True),
    'hf-dinov2': dict(ffn='swiglu_fused', scales=True),
    'hf-dinov2-registers': dict(registers=2, scales=True),
    'timm-dinov3': dict(ffn='swiglu', registers=2, **DINOV3),
    'hf-dinov3': dict(ffn='swiglu', registers=2, **DINOV3),
    'ijepa': dict(own=False),
    'mmpretrain-vit-scaled': dict(scales=True),
    'beit': dict(relative='block', table=False, **BEIT),
    'eva': dict(own_biases=True),
    'eva02': dict(own_biases=True, ffn='swiglu', sub_norms=True),
    'hf-beit': dict(relative='shared', table=False, **BEIT),
    'hf-beit-5': dict(relative='block', table=False, **BEIT),
    'hf-beit-training': dict(relative='shared', **BEIT),
    'timm-siglip': dict(own=False, pooled=True),
    'hf-siglip': dict(own=False, pooled=True),
}
NO_MASK = ('hf-vit', 'hf-vit-5', 'beit', 'eva', 'eva02')  # in files that are written
FIELDS: dict[str, dict[str, Any]] = {
    'dino': {'interpolation': 'offset'},
    'ibot': {'interpolation': 'offset'},
    'dinov2': {'interpolation': 'offset', 'layer_scale': 1.0, 'norm_epsilon': None},
    'dinov2-registers': {'interpolation': 'antialiased', 'num_registers': 2},
    'dinov3': {'rotary': {}, 'mask_k_bias': True, 'norm_epsilon': 1e-5, 'ffn': 'swiglu'},
    'hf-vit': {'norm_epsilon': 1e-12, 'interpolation': None},
    'timm-dinov3': {'rotary': {}, 'mask_k_bias': True, 'norm_epsilon': 1e-5, 'ffn': 'swiglu'},
    'swin': {'window_size': 2, 'img_size': 8, 'patch_size': 2, 'out_indices': (1,)},
    'timm-swin': {'shifting': 'before_padding', 'use_abs_pos_embed': False},
    'torchvision-swin': {'shifting': 'by_axis', 'pad_small_map': True},
    'hf-swin': {'arch': dict(embed_dims=4, depths=(1, 2), num_heads=(1, 2))},
    'convnext': {'use_grn': True, 'layer_scale': None, 'final_norm': True, 'norm_epsilon': None},
    'timm-convnext': {'arch': dict(depths=(1, 2), channels=(2, 4)), 'stem_patch_size': 4},
    'hf-convnext': {'norm_epsilon': 1e-12, 'out_indices': (1,)},
    'hf-resnet': {'type': 'ResNet', 'depth': 10, 'base_channels': 2},
    'timm-resnetd': {'type': 'ResNetV1d', 'depth': 10, 'base_channels': 2},
    'ijepa': {'with_cls_token': False, 'img_size': 12, 'patch_size': 4},
    'beit': {'use_rel_pos_bias': True, 'use_abs_pos_emb': False, 'img_size': 12},
    'hf-beit': {'use_shared_rel_pos_bias': True, 'bias_interpolation': 'linear'},
    'hf-beit-training': {'final_norm': True, 'use_abs_pos_emb': None},
    'eva': {'rotary': None, 'qkv_bias': False},
    'eva02': {
        'rotary': ROTARY_OF_EVA,
        'use_abs_pos_emb': True,
        'attn_sub_norm': True,
        'ffn_sub_norm': True,
        'ffn': 'swiglu',
    },
    'timm-siglip': {'type': 'SigLIPViT', 'activation': 'gelu', 'interpolation': 'antialiased'},
    'hf-siglip': {'type': 'SigLIPViT', 'activation': 'gelu_tanh', 'interpolation': None},
}
SIGNS = {
    'mae': {'decoder_embed.weight': np.ones((2, 8), 'float32')},
    'hf-beit-training': {'lm_head.weight': np.ones((2, 8), 'float32')},
}
NAMED = [layout.name for layout in LAYOUTS if layout.names]


@functools.cache
def arrays_of_other(kind: str) -> Arrays:
    return arrays_in(OTHERS[kind])


def arrays_for(name: str) -> Arrays:
    """Arrays in our names; plain networks of timm and Hugging Face have no mask token."""
    if find(name).kind in OTHERS:
        return dict(arrays_of_other(find(name).kind))
    arrays = arrays_of(**KINDS.get(name, {}))
    if 'mask_token' not in find(name).names or name in NO_MASK:
        arrays.pop('mask_token', None)
    return arrays


def file_of(name: str) -> Arrays:
    """Arrays as a file of this layout has them."""
    layout, arrays = find(name), arrays_for(name)
    plain = OWN if name.startswith('hf-beit') else NETWORK
    plain = ROTARY if name.endswith('dinov3') else plain
    sent = layout.send(arrays, OTHERS.get(layout.kind, plain))
    if name == 'dinov2-training':
        sent = {key.replace('blocks.*.', 'blocks.0.'): value for key, value in sent.items()}
    if name == 'dinov3':
        sent['rope_embed.periods'] = np.ones(2, 'float32')
    sent |= SIGNS.get(name, {})
    return {layout.wrappers[0] + key: value for key, value in sent.items()}


@pytest.mark.parametrize('name', NAMED)
def test_every_layout_is_recognised_and_its_arrays_come_back(name: str) -> None:
    weights, layout = file_of(name), find(name)
    assert recognise(weights) is layout
    brought = place(weights, 'it')
    expected = arrays_for(name)
    assert brought.arrays.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(brought.arrays[key], value, err_msg=key)
    assert brought.network is not None
    for field, value in FIELDS.get(name, {}).items():
        assert brought.network.get(field) == value, field
    assert layout.title in brought.said


def test_networks_beside_the_one_that_is_taken_are_counted() -> None:
    weights = file_of('ijepa') | {'predictor.module.x': np.ones(2, 'float32')}
    assert "1 more beside 'target_encoder.module.'" in place(weights, 'it').said


def test_what_has_no_place_is_listed_by_name_and_shape(tmp_path: Path) -> None:
    weights = file_of('timm-vit') | {'blocks.0.attn.q_norm.weight': np.ones(4, 'float32')}
    path = tmp_path / 'odd.safetensors'
    save_file(weights, path)
    words = ("timm's vision transformer", "'blocks.0.attn.q_norm.weight' (4,)", '--leave_out=')
    with refused(str(path), *words):
        jssl.load(path)
    brought = bring(path, leave_out=['blocks.0.attn.q_norm'])
    assert len(brought.arrays) == len(weights) - 1


def test_another_layout_can_be_said(tmp_path: Path) -> None:
    save_file(file_of('timm-vit'), tmp_path / 'it.safetensors')
    brought = bring(tmp_path / 'it.safetensors')
    assert brought.network is not None
    assert brought.network['interpolation'] == 'antialiased'
    brought = bring(tmp_path / 'it.safetensors', 'dino')
    assert brought.network is not None
    assert brought.network['interpolation'] == 'offset'
    with refused("no layout 'dinu'", "'dino'"):
        bring(tmp_path / 'it.safetensors', 'dinu')
    with refused("not in the layout 'hf-vit'", 'embeddings.patch_embeddings'):
        bring(tmp_path / 'it.safetensors', 'hf-vit')


def test_heads_that_nothing_tells_have_to_be_given(tmp_path: Path) -> None:
    path = tmp_path / 'it.safetensors'
    save_file(file_of('timm-vit'), path)
    with refused('how many heads', 'num_heads=?', '--backbone='):
        jssl.load(path)
    assert 'num_heads' not in str(bring(path).differences(NETWORK))
    assert "interpolation='antialiased', which is 'plain'" in bring(path).differences(NETWORK)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'blocks.1.norm1.weight': None}, "lack what jssl calls 'layers.1.ln1.weight'"),
        ({'pos_embed': np.ones((1, 12, WIDTH), 'float32')}, 'no square'),
        ({'pos_embed': None}, "lack what jssl calls 'pos_embed'"),
        ({'patch_embed.proj.weight': np.ones((8, 48), 'float32')}, '4 axes'),
        ({'blocks.7.norm1.weight': np.ones(8, 'float32')}, 'do not follow each other'),
    ],
)
def test_networks_that_are_none_are_refused(change: dict[str, Any], words: str) -> None:
    weights = file_of('timm-vit') | change
    kept = {key: value for key, value in weights.items() if value is not None}
    with refused("'it', taken for timm's", words):
        place(kept, 'it')


def test_parts_that_do_not_go_together_are_refused() -> None:
    weights = file_of('hf-vit')
    key = 'encoder.layer.0.attention.attention.key.weight'
    with refused('3 arrays of one shape'):
        place(weights | {key: np.ones((4, WIDTH), 'float32')}, 'it')
    with refused('comes a second time'):
        place(
            file_of('hf-dinov2') | {'encoder.layer.0.attention.o_proj.bias': np.ones(8)},
            'it',
        )
    del weights[key]
    with refused("'layers.0.attn.qkv.weight'", 'have 2'):
        place(weights, 'it')


def test_a_config_beside_speaks_of_its_own_network_alone(tmp_path: Path) -> None:
    save_file(file_of('hf-vit'), tmp_path / 'model.safetensors')
    told = {'hidden_size': WIDTH, 'num_attention_heads': 4, 'layer_norm_eps': 1e-3}
    images = {'image_mean': [0.5, 0.5, 0.5], 'image_std': [0.25, 0.25, 0.25]}
    (tmp_path / 'config.json').write_text(json.dumps(told))
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(images))
    network = jssl.load(tmp_path, report=print)
    assert network.backbone.size.num_heads == 4
    assert network.backbone.norm_epsilon == 1e-3
    assert network.view == CenterView(size=12, resize=14, mean=(127.5,) * 3, std=(63.75,) * 3)
    (tmp_path / 'config.json').write_text(json.dumps(told | {'hidden_act': 'quick_gelu'}))
    with refused('quick_gelu', 'gelu_pytorch_tanh'):
        jssl.load(tmp_path)
    others: list[Any] = [told | {'hidden_size': 768}, [], 'x']
    for other in [*others, {'num_features': WIDTH, 'model_args': 5}]:
        (tmp_path / 'config.json').write_text(json.dumps(other))
        brought = bring(tmp_path)
        assert brought.network is not None
        assert brought.network['arch']['num_heads'] is None


def test_a_command_carries_weights_from_one_library_to_another(tmp_path: Path, capsys: Any) -> None:
    save_file(file_of('timm-vit'), tmp_path / 'timm.safetensors')
    backbone = (
        f'dict(type="VisionTransformer", arch=dict(embed_dims={WIDTH}, num_layers=2, num_heads=2, '
        'feedforward_channels=16), img_size=12, patch_size=4)'
    )
    given = ['import', str(tmp_path / 'timm.safetensors')]
    assert main([*given, str(tmp_path / 'hf'), '--to=huggingface', f'--backbone={backbone}']) == 0
    assert "timm's vision transformer" in capsys.readouterr().out
    assert json.loads((tmp_path / 'hf' / 'config.json').read_text())['num_attention_heads'] == 2
    assert main(['import', str(tmp_path / 'hf'), str(tmp_path / 'ours.safetensors')]) == 0
    assert 'backbone' in read_metadata(tmp_path / 'ours.safetensors')
    found = bring(tmp_path / 'ours.safetensors').arrays
    for key, value in bring(tmp_path / 'timm.safetensors').arrays.items():
        np.testing.assert_array_equal(found[key], value)
    save_file({'w': np.ones(2, 'float32')}, tmp_path / 'odd.safetensors')
    with refused('--to=timm', '--backbone='):
        carry(tmp_path / 'odd.safetensors', tmp_path / 'x', 'timm')


@pytest.mark.parametrize(
    ('to', 'fields', 'words'),
    [
        ('timm', {'rotary': {'coordinates': 'max'}}, 'coordinates'),
        ('timm', {'rotary': {'base': 50.0}}, 'base 100'),
        ('timm', {'use_rel_pos_bias': True}, 'relative position'),
        ('torchvision', {'rotary': {}}, 'rotary positions'),
        ('torchvision', {'with_cls_token': False}, 'class token'),
        ('huggingface', {'rotary': {'coordinates': 'max'}}, 'coordinates'),
        ('huggingface', {'with_cls_token': False, 'num_registers': 2}, 'without a class token'),
    ],
)
def test_networks_that_others_do_not_have_are_not_written(
    to: str, fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    target = tmp_path / f'x{formats()[to].ENDING}'
    with refused(words, 'export it as'):
        write(target, Parcel(arrays_of(), {}, NETWORK.clone(**fields)), to)


def test_checkpoints_of_several_networks_and_their_options(tmp_path: Path) -> None:
    torch = pytest.importorskip('torch')
    layout = find('dino')
    tensors = {
        key.removeprefix(layout.wrappers[0]): torch.from_numpy(value)
        for key, value in file_of('dino').items()
    }
    whole = {
        'teacher': {f'backbone.{key}': value for key, value in tensors.items()},
        'student': {f'module.backbone.{key}': value for key, value in tensors.items()},
        'args': argparse.Namespace(arch='vit_small'),
        'epoch': 3,
    }
    torch.save(whole, tmp_path / 'checkpoint.pth')
    brought = place(read_checkpoint(tmp_path / 'checkpoint.pth'), 'it')
    assert brought.layout is layout
    np.testing.assert_array_equal(
        brought.arrays['layers.1.ffn.layers.1.weight'], arrays_of()['layers.1.ffn.layers.1.weight']
    )
