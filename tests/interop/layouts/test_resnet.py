"""Residual networks of timm and Hugging Face, there and back."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.interop.layouts.others import (
    Other,
    assert_both_ways,
    created,
    drawn,
    library,
    saved,
)

WIDTHS = (4, 8, 16, 32)
Options = dict[str, Any]


def timms(**options: Any) -> Any:
    library('timm')
    from timm.models.resnet import BasicBlock, ResNet

    block: Any = BasicBlock
    return ResNet(block, (1, 1, 1, 1), num_classes=0, **options)


DEEP: Options = dict(stem_width=2, stem_type='deep', avg_down=True, channels=WIDTHS)
TIMMS: dict[str, tuple[Callable[[], Any], str, int]] = {
    'plain': (timms, 'ResNet', 64),
    'deep stem': (partial(timms, **DEEP), 'ResNetV1d', 4),
}


# The plain stem is as wide as that of any: pytest -n 0 -m slow tests/interop/layouts.
@pytest.mark.parametrize('kind', ['deep stem', pytest.param('plain', marks=pytest.mark.slow)])
def test_timms(kind: str, tmp_path: Path) -> None:
    make, name, width = TIMMS[kind]
    model = drawn(make())
    other = Other(make, lambda model, x: model(x), 'timm')
    source = saved(model, tmp_path / 'model.safetensors')
    brought = assert_both_ways(other, source, model, created, tmp_path)
    assert brought.network == {'type': name, 'depth': 10, 'base_channels': width}


BOTTLENECKS: Options = dict(depths=[3, 4, 6, 3], hidden_sizes=[16, 32, 64, 128])
BOTTLENECKS |= dict(downsample_in_bottleneck=True, downsample_in_first_stage=True)
HUGGING_FACES: dict[str, tuple[Options, Options]] = {
    'basic': (dict(layer_type='basic', depths=[1] * 4, hidden_sizes=list(WIDTHS)), {}),
    'bottlenecks': (BOTTLENECKS, {'style': 'caffe', 'strides': (2, 2, 2, 2)}),
}


# The smallest with bottlenecks has fifty layers: pytest -n 0 -m slow tests/interop/layouts.
@pytest.mark.parametrize('kind', ['basic', pytest.param('bottlenecks', marks=pytest.mark.slow)])
def test_hugging_faces(kind: str, tmp_path: Path) -> None:
    transformers = library('transformers')
    options, told = HUGGING_FACES[kind]
    make = lambda: transformers.ResNetModel(  # noqa: E731
        transformers.ResNetConfig(embedding_size=4, **options)
    )
    model = drawn(make())
    model.save_pretrained(tmp_path / 'model')

    def again(path: Path) -> Any:
        loaded, found = type(model).from_pretrained(path, output_loading_info=True)
        assert not any(found.values()), found
        return loaded

    def features(model: Any, x: Any) -> Any:
        return model(x).pooler_output[:, :, 0, 0]

    other = Other(make, features, 'huggingface', sides=(32, 48))
    brought = assert_both_ways(other, tmp_path / 'model', model, again, tmp_path)
    assert brought.network is not None
    assert told.items() <= brought.network.items()
