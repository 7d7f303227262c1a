"""BEiT, EVA and EVA-02, of timm and of Hugging Face, there and back."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.augment.views import CenterView
from jssl.inference.load import load
from jssl.interop.bring import bring, place
from tests.checks import refused
from tests.interop.layouts.others import (
    SIDES,
    Other,
    assert_both_ways,
    assert_features,
    created,
    drawn,
    library,
    network_of,
    saved,
)
from tests.interop.layouts.test_layouts import file_of

SIZES: dict[str, Any] = dict(embed_dim=24, depth=2, num_heads=2, num_classes=0)
SIZES |= dict(img_size=32, patch_size=8)
WIDTHS: dict[str, Any] = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2)
WIDTHS |= dict(intermediate_size=48, image_size=32, patch_size=8)


def beit(**options: Any) -> Any:
    library('timm')
    from timm.models.beit import Beit

    return Beit(**SIZES, init_values=0.1, use_abs_pos_emb=False, **options)


def eva(**options: Any) -> Any:
    library('timm')
    from timm.models.eva import Eva

    return Eva(**SIZES, dynamic_img_size=True, **options)


def eva02(**options: Any) -> Any:
    return eva(
        swiglu_mlp=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16), mlp_ratio=8 / 3, **options
    )


WIDER = CenterView(size=SIDES[1], resize=SIDES[1])
BEITS: dict[str, Callable[[], Any]] = {
    'averaged, biases of each block': partial(beit, use_rel_pos_bias=True),
    'class token, shared biases': partial(beit, use_shared_rel_pos_bias=True, global_pool='token'),
}
EVAS: dict[str, tuple[str, Callable[[], Any]]] = {
    'EVA': ('eva', partial(eva, global_pool='token')),
    'EVA-02, small': ('eva', eva02),
    'EVA-02': ('eva02', partial(eva02, qkv_fused=False, scale_mlp=True)),
    'EVA-02-CLIP': (
        'eva02',
        partial(eva02, qkv_fused=False, scale_mlp=True, scale_attn_inner=True, global_pool='token'),
    ),
}


def of_timm(model: Any, x: Any) -> Any:
    return model(x)


@pytest.mark.filterwarnings('ignore:Using a non-tuple sequence')  # of timm's interpolation,
@pytest.mark.filterwarnings('ignore:torch.searchsorted')  # as this is
@pytest.mark.parametrize('kind', BEITS)
def test_timm_s_beit(kind: str, tmp_path: Path) -> None:
    make = BEITS[kind]
    model = drawn(make())
    source = saved(model, tmp_path / 'model.safetensors')
    other = Other(make, of_timm, 'timm', sides=SIDES[:1])
    brought = assert_both_ways(other, source, model, created, tmp_path)
    assert brought.layout is not None
    assert brought.layout.name == 'beit'
    # Biases are for one size: another one is loaded for.
    model.set_input_size((SIDES[1], SIDES[1]))
    network = network_of(brought).clone(img_size=SIDES[1])
    wider = load(source, backbone=network, view=WIDER, report=lambda line: None)
    assert_features(wider, Other(make, of_timm, 'timm', sides=SIDES[1:]), model)


@pytest.mark.parametrize('kind', EVAS)
def test_timm_s_eva(kind: str, tmp_path: Path) -> None:
    name, make = EVAS[kind]
    model = drawn(make())
    source = saved(model, tmp_path / 'model.safetensors')
    other = Other(make, of_timm, 'timm')
    brought = assert_both_ways(other, source, model, created, tmp_path)
    assert brought.layout is not None
    assert brought.layout.name == name


def test_files_of_the_authors_of_eva_are_read_as_timm_reads_them(tmp_path: Path) -> None:
    library('timm')
    from timm.models.eva import checkpoint_filter_fn

    model = drawn(EVAS['EVA-02-CLIP'][1]())
    mine = bring(saved(model, tmp_path / 'model.safetensors')).arrays
    renamed = {'mlp.fc1_g': 'mlp.w1', 'mlp.fc1_x': 'mlp.w2', 'mlp.fc2': 'mlp.w3'}
    renamed |= {'mlp.norm': 'mlp.ffn_ln', 'attn.norm': 'attn.inner_attn_ln'}
    renamed |= {'q_proj.bias': 'q_bias', 'v_proj.bias': 'v_bias'}
    theirs = {}
    for key, value in model.state_dict().items():
        for new, old in renamed.items():
            key = key.replace(new, old)
        theirs[key] = value
    read = checkpoint_filter_fn(dict(theirs), model)
    assert read.keys() == model.state_dict().keys()
    arrays = {key: value.numpy() for key, value in theirs.items()}
    arrays |= {'rope.freqs_cos': np.ones((4, 4), 'float32'), 'lm_head.weight': np.ones((2, 24))}
    found = place(arrays | {'blocks.0.attn.rope.freqs_sin': np.ones((4, 4), 'float32')}, 'it')
    assert found.layout is not None
    assert found.layout.name == 'eva02'
    assert found.arrays.keys() == mine.keys()
    for key, value in mine.items():
        np.testing.assert_array_equal(found.arrays[key], value)


def test_norms_after_the_branches_are_refused() -> None:
    wide = {
        key: np.repeat(value, 224, axis=0) if key == 'patch_embed.proj.weight' else value
        for key, value in file_of('eva').items()
    }
    with refused('width 1792', 'after the branches'):
        place(wide, 'it')


HUGGING_FACE: dict[str, dict[str, Any]] = {
    'averaged, shared biases': dict(use_shared_relative_position_bias=True),
    'class token, biases of each block': dict(
        use_relative_position_bias=True, use_mean_pooling=False, use_mask_token=True
    ),
}


@pytest.mark.parametrize('kind', HUGGING_FACE)
def test_hugging_face_s_beit(kind: str, tmp_path: Path) -> None:
    transformers = library('transformers')
    options = HUGGING_FACE[kind]

    def make() -> Any:
        return transformers.BeitModel(transformers.BeitConfig(**WIDTHS, **options))

    def features(model: Any, x: Any) -> Any:
        return model(x, interpolate_pos_encoding=True).pooler_output

    def again(path: Path) -> Any:
        loaded, told = transformers.BeitModel.from_pretrained(path, output_loading_info=True)
        assert not any(told.values()), told
        return loaded

    model = drawn(make())
    source = tmp_path / 'model'
    model.save_pretrained(source)
    other = Other(make, features, 'huggingface', sides=SIDES[:1])
    brought = assert_both_ways(other, source, model, again, tmp_path)
    network = network_of(brought).clone(img_size=SIDES[1])
    wider = load(source, backbone=network, view=WIDER, report=lambda line: None)
    assert_features(wider, Other(make, features, 'huggingface', sides=SIDES[1:]), model)
    memory = place({key: value.numpy() for key, value in model.state_dict().items()}, 'it')
    assert memory.layout is not None
    assert memory.layout.name == 'hf-beit-5'
    for key, value in brought.arrays.items():
        np.testing.assert_array_equal(memory.arrays[key], value)


def test_with_its_head_of_pre_training_the_last_norm_comes_along(tmp_path: Path) -> None:
    transformers = library('transformers')
    config = transformers.BeitConfig(**WIDTHS, use_mask_token=True, vocab_size=5)
    config.use_shared_relative_position_bias = True
    model = drawn(transformers.BeitForMaskedImageModeling(config))
    model.save_pretrained(tmp_path)
    network = load(tmp_path, report=lambda line: None)
    assert network.backbone.final_norm

    def features(model: Any, x: Any) -> Any:
        return model.layernorm(model.beit(x).last_hidden_state)[:, 0]

    assert_features(network, Other(lambda: model, features, 'huggingface', sides=SIDES[:1]), model)
