"""Hugging Face's vision transformers, there and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.interop.bring import bring
from tests.interop.layouts.others import Other, assert_both_ways, drawn, library, saved

SIZES: dict[str, Any] = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
SIZES |= dict(intermediate_size=48, image_size=32, patch_size=8)
Model = tuple[str, str, dict[str, Any]]
MODELS: dict[str, Model] = {
    'ViT': ('ViTModel', 'ViTConfig', {}),
    'I-JEPA': ('IJepaModel', 'IJepaConfig', {}),
    'DINOv2': ('Dinov2Model', 'Dinov2Config', {}),
    'DINOv2 with gates': ('Dinov2Model', 'Dinov2Config', {'use_swiglu_ffn': True}),
    'DINOv2 with registers': ('Dinov2WithRegistersModel', 'Dinov2WithRegistersConfig', {}),
    'DINOv3': ('DINOv3ViTModel', 'DINOv3ViTConfig', {'num_register_tokens': 2}),
    'DINOv3 with gates': (
        'DINOv3ViTModel',
        'DINOv3ViTConfig',
        {'use_gated_mlp': True, 'hidden_act': 'silu'},
    ),
}
POOLED = ('ViT', 'I-JEPA')  # whose pooling layer is an option


def maker(kind: str) -> Callable[[], Any]:
    transformers = library('transformers')
    name, config, options = MODELS[kind]
    plain = {'add_pooling_layer': False} if kind in POOLED else {}
    return lambda: getattr(transformers, name)(
        getattr(transformers, config)(**SIZES, **options), **plain
    )


def tokens(kind: str) -> Callable[[Any, Any], Any]:
    """The class token, or without one the mean of the patches."""
    options = {'interpolate_pos_encoding': True} if kind in POOLED else {}

    def features(model: Any, x: Any) -> Any:
        last = model(x, **options).last_hidden_state
        return last.mean(1) if kind == 'I-JEPA' else last[:, 0]

    return features


@pytest.mark.parametrize('kind', MODELS)
def test_what_it_saves_comes_in_and_what_is_written_it_loads(kind: str, tmp_path: Path) -> None:
    make = maker(kind)
    model = drawn(make())
    source = tmp_path / 'model'
    model.save_pretrained(source)

    def again(path: Path) -> Any:
        plain = {'add_pooling_layer': False} if kind in POOLED else {}
        loaded, told = type(model).from_pretrained(path, output_loading_info=True, **plain)
        assert not any(told.values()), told
        return loaded

    assert_both_ways(Other(make, tokens(kind), 'huggingface'), source, model, again, tmp_path)


@pytest.mark.parametrize('kind', MODELS)
def test_names_of_a_model_in_memory_are_read_too(kind: str, tmp_path: Path) -> None:
    model = drawn(maker(kind)())
    model.save_pretrained(tmp_path / 'files')
    (tmp_path / 'memory').mkdir()
    (tmp_path / 'memory' / 'config.json').write_bytes(
        (tmp_path / 'files' / 'config.json').read_bytes()
    )
    saved(model, tmp_path / 'memory' / 'model.safetensors')
    files, memory = (bring(tmp_path / name) for name in ('files', 'memory'))
    assert memory.network == files.network
    assert memory.arrays.keys() == files.arrays.keys()
    for key, value in files.arrays.items():
        np.testing.assert_array_equal(memory.arrays[key], value)


def test_the_encoder_of_its_masked_autoencoder_comes_in(tmp_path: Path) -> None:
    transformers = library('transformers')
    config = transformers.ViTMAEConfig(**SIZES, decoder_num_hidden_layers=1)
    model = drawn(transformers.ViTMAEForPreTraining(config))
    model.save_pretrained(tmp_path)
    brought = bring(tmp_path)
    weight = model.vit.layers[0].mlp.fc1.weight.detach().numpy()
    np.testing.assert_array_equal(brought.arrays['layers.0.ffn.layers.0.0.weight'], weight)
    assert "more beside 'vit.'" in brought.said
    assert brought.network is not None
    assert brought.network['norm_epsilon'] == 1e-12
