"""torchvision's vision transformers and ResNets, there and back."""

from pathlib import Path
from typing import Any

import pytest

from jssl.interop.bring import bring
from tests.interop.layouts.others import (
    Other,
    assert_both_ways,
    drawn,
    library,
    saved,
    strictly,
    torch,
)


def resnet() -> Any:
    models = library('torchvision').models
    model = models.ResNet(models.resnet.BasicBlock, [2, 2, 2, 2])
    model.fc = torch.nn.Identity()
    return model


# Its vision transformer takes images of one size alone; each size has a table of its own.
@pytest.mark.parametrize('side', [32, 48])
def test_vision_transformers(side: int, tmp_path: Path) -> None:
    def make() -> Any:
        model = library('torchvision').models.VisionTransformer(side, 8, 2, 2, 24, 48)
        model.heads = torch.nn.Identity()
        return model

    model = drawn(make())
    other = Other(make, lambda model, x: model(x), 'torchvision', sides=(side,))
    source = saved(model, tmp_path / 'model.safetensors')
    assert_both_ways(other, source, model, strictly(make), tmp_path)


@pytest.mark.slow  # its smallest network is as wide as any
def test_residual_networks(tmp_path: Path) -> None:
    model = drawn(resnet())
    other = Other(resnet, lambda model, x: model(x), 'torchvision')
    source = saved(model, tmp_path / 'model.safetensors')
    brought = assert_both_ways(other, source, model, strictly(resnet), tmp_path)
    assert brought.network == {'type': 'ResNet', 'depth': 18, 'base_channels': 64}


def test_a_classifier_is_left_out_and_said(tmp_path: Path) -> None:
    models = library('torchvision').models
    model = drawn(models.VisionTransformer(32, 8, 2, 2, 24, 48, num_classes=3))
    brought = bring(saved(model, tmp_path / 'model.safetensors'))
    assert 'left out' in brought.said
    assert "'heads.head.weight' (3, 24)" in brought.said
