"""timm's vision transformers and ResNets, there and back."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jssl.inference.load import load
from jssl.interop.bring import bring
from tests.interop.layouts.others import (
    Other,
    assert_both_ways,
    assert_features,
    created,
    drawn,
    library,
    network_of,
    saved,
    torch,
)

SIZES: dict[str, Any] = dict(embed_dim=24, depth=2, num_heads=2, num_classes=0)
SIZES |= dict(img_size=32, patch_size=8, dynamic_img_size=True)
REGISTERS = dict(reg_tokens=4, no_embed_class=True, init_values=1e-5)


def vit(**options: Any) -> Any:
    library('timm')
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(**SIZES, **options)


def gated() -> Any:
    library('timm')
    from timm.layers import SwiGLUPacked

    options = dict(mlp_ratio=16 / 3, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU)
    return vit(**options, **REGISTERS)


MAKERS: dict[str, Callable[[], Any]] = {
    'as ViT and DeiT': vit,
    'averaged, as of MAE': partial(vit, global_pool='avg'),
    'registers without a class token': partial(
        vit, class_token=False, global_pool='avg', fc_norm=False, **REGISTERS
    ),
    'registers and gates, as DINOv2': gated,
}


@pytest.mark.parametrize('kind', MAKERS)
def test_vision_transformers(kind: str, tmp_path: Path) -> None:
    make = MAKERS[kind]
    model = drawn(make())
    other = Other(make, lambda model, x: model(x), 'timm')
    source = saved(model, tmp_path / 'model.safetensors')
    brought = assert_both_ways(other, source, model, created, tmp_path)
    assert brought.layout is not None
    assert brought.layout.name == 'timm-vit'


def dinov3(**options: Any) -> Any:
    """As timm makes its models of DINOv3, whose options are not in its names."""
    library('timm')
    from timm.models import create_model

    name = f'vit_small_patch16_dinov3{"_qkvb" if options.pop("biased", False) else ""}'
    sizes: dict[str, Any] = dict(embed_dim=16, depth=2, num_heads=2, num_classes=0, patch_size=8)
    return create_model(name, img_size=32, global_pool='token', **sizes, **options)


OF_DINOV3: dict[str, dict[str, Any]] = {
    'without biases': {},
    'with biases and gates': dict(biased=True, swiglu_mlp=True, swiglu_align_to=8),
}


@pytest.mark.parametrize('kind', OF_DINOV3)
def test_vision_transformers_of_dinov3(kind: str, tmp_path: Path) -> None:
    make = partial(dinov3, **OF_DINOV3[kind])
    model = drawn(make())
    other = Other(make, lambda model, x: model(x), 'timm')
    source = saved(model, tmp_path / 'model.safetensors')
    brought = assert_both_ways(other, source, model, created, tmp_path)
    assert brought.layout is not None
    assert brought.layout.name == 'timm-dinov3'


def test_a_table_with_rows_for_registers_comes_in(tmp_path: Path) -> None:
    make = partial(vit, reg_tokens=3)
    model = drawn(make())
    source = saved(model, tmp_path / 'model.safetensors')
    network = load(source, backbone=network_of(bring(source)), report=print)
    assert_features(network, Other(make, lambda model, x: model(x), 'timm', sides=(32,)), model)
