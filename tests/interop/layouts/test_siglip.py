"""SigLIP's vision towers, of timm and of Hugging Face, there and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.augment.views import CenterView
from jssl.backbones import SigLIPViT, VisionTransformer
from jssl.inference.load import load
from jssl.interop.bring import bring
from tests.checks import refused
from tests.interop.layouts.others import (
    Other,
    assert_both_ways,
    assert_features,
    created,
    drawn,
    library,
    network_of,
    saved,
)

WIDTHS: dict[str, Any] = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2)
WIDTHS |= dict(intermediate_size=48, image_size=32, patch_size=8)


def tower() -> Any:
    library('timm')
    from timm.models.vision_transformer import VisionTransformer as Timm

    return Timm(
        img_size=32,
        patch_size=8,
        embed_dim=24,
        depth=2,
        num_heads=2,
        mlp_ratio=2,
        num_classes=0,
        dynamic_img_size=True,
        class_token=False,
        global_pool='map',
    )


def test_timm_s_tower(tmp_path: Path) -> None:
    model = drawn(tower())
    source = saved(model, tmp_path / 'model.safetensors')
    other = Other(tower, lambda model, x: model(x), 'timm')
    brought = assert_both_ways(other, source, model, created, tmp_path)
    assert brought.layout is not None
    assert brought.layout.name == 'timm-siglip'
    network = load(source, backbone=network_of(brought), report=lambda line: None)
    assert network.view == CenterView(size=32, resize=37, mean=(127.5,) * 3, std=(127.5,) * 3)

    def tokens(model: Any, x: Any) -> Any:
        return model.forward_features(x).mean(1)

    patches = Other(tower, tokens, 'timm', layer='patch_mean', sides=(32,))
    assert_features(network, patches, model)


def test_hugging_face_s_tower(tmp_path: Path) -> None:
    transformers = library('transformers')

    def make() -> Any:
        return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**WIDTHS))

    def again(path: Path) -> Any:
        loaded, told = transformers.SiglipVisionModel.from_pretrained(
            path, output_loading_info=True
        )
        assert not any(told.values()), told
        return loaded

    def features(model: Any, x: Any) -> Any:
        return model(x, interpolate_pos_encoding=True).pooler_output

    model = drawn(make())
    source = tmp_path / 'model'
    model.save_pretrained(source)
    other = Other(make, features, 'huggingface')
    brought = assert_both_ways(other, source, model, again, tmp_path)
    assert brought.network is not None
    assert brought.network['activation'] == 'gelu_tanh'


def test_the_tower_of_a_model_of_images_and_texts(tmp_path: Path) -> None:
    transformers = library('transformers')
    texts = WIDTHS | dict(vocab_size=10, bos_token_id=1, eos_token_id=2, pad_token_id=3)
    config = transformers.SiglipConfig(vision_config=WIDTHS, text_config=texts)
    model = drawn(transformers.SiglipModel(config))
    model.save_pretrained(tmp_path)
    brought = bring(tmp_path)
    assert "more beside 'vision_model.'" in brought.said
    assert brought.network is not None
    assert brought.network['arch']['num_heads'] == 2
    probe = model.vision_model.head.probe.detach().numpy()
    np.testing.assert_array_equal(brought.arrays['attn_pool.latent'], probe)


def test_a_tower_without_its_head_is_a_plain_vision_transformer(tmp_path: Path) -> None:
    transformers = library('transformers')
    config = transformers.SiglipVisionConfig(**WIDTHS, vision_use_head=False)
    drawn(transformers.SiglipVisionModel(config)).save_pretrained(tmp_path)
    network = network_of(bring(tmp_path))
    assert type(network) is VisionTransformer
    assert (network.activation, network.with_cls_token) == ('gelu_tanh', False)


@pytest.mark.parametrize('field', ['with_cls_token', 'avg_token'])
def test_other_vectors_than_the_pooled_one_are_refused(field: str) -> None:
    options: Any = {field: True}
    with refused(f'backbone.{field}=True', 'set it to False'):
        SigLIPViT('small', **options)
