"""Swin transformers of timm, torchvision, Hugging Face and the authors, there and back."""

import copy
from pathlib import Path
from typing import Any

import numpy as np

from jssl.interop.bring import Brought, bring
from tests.interop.layouts.others import (
    Other,
    assert_both_ways,
    created,
    drawn,
    library,
    saved,
    strictly,
)

SIDES = (24, 40)  # maps of two windows and one, and maps that are no whole windows
DEPTHS, HEADS, WIDTH, PATCH, WINDOW = (2, 2), (2, 4), 8, 4, 3


def timms(side: int = SIDES[0]) -> Any:
    library('timm')
    from timm.models.swin_transformer import SwinTransformer

    sizes: dict[str, Any] = dict(embed_dim=WIDTH, depths=DEPTHS, num_heads=HEADS, num_classes=0)
    return SwinTransformer(img_size=side, patch_size=PATCH, window_size=WINDOW, **sizes)


def at_its_size(model: Any, x: Any) -> Any:
    """timm's network is made for images of one size; the weights are those of any."""
    if x.shape[-1] == SIDES[0]:
        return model(x)
    other = timms(x.shape[-1])
    other.load_state_dict(model.state_dict(), strict=True)
    return other.eval()(x)


def torchvisions() -> Any:
    models, torch = library('torchvision').models, library('torch')
    sizes = [PATCH, PATCH], WIDTH, list(DEPTHS), list(HEADS), [WINDOW, WINDOW]
    model = models.SwinTransformer(*sizes)
    model.head = torch.nn.Identity()
    return model


def hugging_faces() -> Any:
    transformers = library('transformers')
    sizes: dict[str, Any] = dict(embed_dim=WIDTH, depths=list(DEPTHS), num_heads=list(HEADS))
    sizes |= dict(patch_size=PATCH, window_size=WINDOW, use_absolute_embeddings=True)
    config = transformers.SwinConfig(image_size=SIDES[0], **sizes)
    return transformers.SwinModel(config)


def assert_described(brought: Brought) -> None:
    assert brought.network is not None
    assert brought.network['arch'] == dict(embed_dims=WIDTH, depths=DEPTHS, num_heads=HEADS)
    assert brought.network['window_size'] == WINDOW
    assert brought.view['size'] == SIDES[0]


def test_timms(tmp_path: Path) -> None:
    model = drawn(timms())
    other = Other(timms, at_its_size, 'timm', sides=SIDES)
    source = saved(model, tmp_path / 'model.safetensors')
    assert_described(assert_both_ways(other, source, model, created, tmp_path))


def test_torchvisions_with_maps_smaller_than_a_window_too(tmp_path: Path) -> None:
    model = drawn(torchvisions())
    other = Other(torchvisions, lambda model, x: model(x), 'torchvision', sides=(*SIDES, 8))
    source = saved(model, tmp_path / 'model.safetensors')
    assert_described(assert_both_ways(other, source, model, strictly(torchvisions), tmp_path))


def test_hugging_faces(tmp_path: Path) -> None:
    model = drawn(hugging_faces())
    model.save_pretrained(tmp_path / 'model')

    def again(path: Path) -> Any:
        loaded, told = type(model).from_pretrained(path, output_loading_info=True)
        assert not any(told.values()), told
        return loaded

    def features(model: Any, x: Any) -> Any:
        model = copy.deepcopy(model)  # one that has seen a map of one window never shifts again
        return model(x, interpolate_pos_encoding=True).pooler_output

    other = Other(hugging_faces, features, 'huggingface', sides=SIDES)
    brought = assert_both_ways(other, tmp_path / 'model', model, again, tmp_path)
    assert_described(brought)
    memory = bring(saved(model, tmp_path / 'memory.safetensors')).arrays
    assert memory.keys() == brought.arrays.keys()
    for key, value in brought.arrays.items():
        np.testing.assert_array_equal(memory[key], value)
