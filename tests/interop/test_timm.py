"""What is said to timm of networks: names that it knows, sizes that it rounds, and what is refused.

That it makes these networks is tested beside their layouts.
"""

import math
from typing import Any

import numpy as np
import pytest

from jssl.backbones import ConvNeXt, ResNet, SigLIPViT, SwinTransformer, VisionTransformer
from jssl.interop import timm
from jssl.interop import timm_names as known
from jssl.interop.layouts import beit
from jssl.kinds import Backbone
from tests.checks import refused
from tests.interop.layouts.others import library

ARCH = dict(embed_dims=192, num_layers=12, num_heads=3, feedforward_channels=768)
SWIN = SwinTransformer(
    dict(embed_dims=8, depths=(2, 2), num_heads=(2, 2)), window_size=3, out_indices=(1,)
)
SHORT = ConvNeXt(dict(depths=(1, 1), channels=(2, 4)), out_indices=(1,))
VIT = VisionTransformer(ARCH)
MLP = {
    f'blocks.0.mlp.fc{n}.weight': np.zeros(shape) for n, shape in ((1, (768, 192)), (2, (192, 768)))
}
STEM = {'bn1.weight': np.zeros(64), 'layer1.0.conv3.weight': np.zeros(1)}


def names() -> set[str]:
    """All architectures that are written."""
    tables: list[Any] = [
        known.VITS,
        known.SIGLIPS,
        known.EVA02S,
        known.EVAS,
        known.CLIPS,
        known.BEITS,
    ]
    found = {name for table in tables for name in table.values()} | {known.GATED, known.ROTATED}
    found |= {name.replace('_dinov2', '_reg4_dinov2') for name in found}
    found |= {*known.SWINS.values(), *known.RESNEXTS.values()}
    for kind in (*known.DINOV3S.values(), 'small', 'small_plus'):
        plain = f'vit_{kind}_patch16_dinov3'
        found |= {plain if kind == '7b' else f'{plain}_qkvb'}
        found |= set() if kind == 'tiny' else {plain}
    versions = ('convnext', 'convnextv2')
    found |= {f'{kind}_{size}' for kind in versions for size in (*known.CONVNEXTS.values(), 'tiny')}
    return found | {
        f'resnet{depth}{kind}' for depth in (18, 34, 50, 101, 152) for kind in ('', 'd')
    }


def test_all_names_are_those_of_architectures() -> None:
    models = library('timm').models
    assert [name for name in sorted(names()) if not models.is_model(name)] == []


@pytest.mark.parametrize(
    ('fields', 'name'),
    [
        ({}, 'vit_tiny_patch16_224'),
        ({'patch_size': 32}, 'vit_base_patch16_224'),
        ({'ffn': 'swiglu', 'num_registers': 4}, 'vit_giant_patch14_reg4_dinov2'),
    ],
)
def test_an_architecture_of_the_network_s_size_is_taken(fields: Any, name: str) -> None:
    model = timm.vit_model(VIT.clone(**fields), MLP)
    assert model.architecture == name
    assert model.args['mlp_ratio'] == 4
    assert model.features == 192


def test_what_timm_rounds_down_is_what_was_meant() -> None:
    for size in range(16, 400, 7):
        for resize in range(size, size + 60, 3):
            part = timm._crop({'size': size, 'resize': resize})['crop_pct']
            assert math.floor(size / part) == resize
            assert part == pytest.approx(size / resize)
        assert int(size * timm._ratio(resize, size)) == resize
    assert timm._crop({'size': 8}) == {}


def test_images_are_as_large_as_the_run_evaluates_them() -> None:
    stem = {'patch_embed.proj.weight': np.zeros((192, 4, 16, 16))}
    view = {'size': 96, 'resize': 128, 'mean': [0.5] * 4, 'std': [0.25] * 4}
    said = timm.vit_model(VIT, MLP).config(stem, view | {'interpolation': 'lanczos'})
    told = said['pretrained_cfg']
    assert (told['input_size'], told['crop_pct']) == ([4, 96, 96], 0.75)
    assert (told['mean'], told['interpolation']) == ([0.5] * 4, 'lanczos')
    assert timm.swin_model(SWIN, 48).config(stem, {})['pretrained_cfg']['pool_size'] == [6, 6]
    fixed = timm.beit_model(VIT.clone(use_rel_pos_bias=True), MLP).config(stem, view)
    assert fixed['pretrained_cfg']['input_size'] == [4, 224, 224]


@pytest.mark.parametrize(
    ('make', 'backbone', 'arrays', 'words'),
    [
        (timm.vit_model, VIT.clone(norm_epsilon=1e-3), MLP, 'norm_epsilon=0.001'),
        (timm.vit_model, VIT.clone(avg_token=True), MLP, 'final_norm=True'),
        (timm.beit_model, VIT.clone(activation='gelu_tanh'), MLP, "activation='gelu_tanh'"),
        (timm.beit_model, VIT.clone(final_norm=False), MLP, 'final_norm=False'),
        (timm.eva_model, VIT.clone(ffn='swiglu_fused', ffn_sub_norm=True), MLP, 'ffn_sub_norm'),
        (timm.eva_model, VIT.clone(rotary={**beit.ROTARY, 'coordinates': 'max'}), MLP, 'rotary='),
        (timm.resnet_model, ResNet(50, style='caffe'), STEM, "style='caffe'"),
        (timm.resnet_model, ResNet(50, strides=(2, 2, 2, 2)), STEM, 'strides=(2, 2, 2, 2)'),
        (timm.resnet_model, ResNet(50), STEM | {'bn1.weight': np.zeros(8)}, 'base_channels=8'),
        (timm.resnet_model, ResNet(50), STEM | {'sobel_layer.a': np.zeros(8)}, "'ResNet'"),
        (timm.convnext_model, SHORT, {}, 'depths=[1, 1]'),
    ],
)
def test_what_timm_does_not_make_is_refused(
    make: Any, backbone: Backbone, arrays: Any, words: str
) -> None:
    with refused("timm's", words, 'export it as safetensors'):
        make(backbone, arrays)


def test_windows_larger_than_the_last_map_are_refused() -> None:
    with refused('16 pixels', '2 tokens', 'window_size=3'):
        timm.swin_model(SWIN, 16)


def test_a_tower_has_its_activation() -> None:
    model = timm.siglip_model(SigLIPViT(ARCH), MLP)
    assert model.args['act_layer'] == 'gelu_tanh'
    assert model.args['global_pool'] == 'map'
