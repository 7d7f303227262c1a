"""ConvNeXts of both versions, of timm, Hugging Face and the authors, there and back."""

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

SIDES = (32, 72)  # 72 has an odd map, of which a row and a column are cut off
NARROW, WIDE = (4, 8, 8, 8), (96, 4, 4, 4)  # timm's have convolutions, and linear layers


def timms(**options: Any) -> Any:
    library('timm')
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(depths=(1, 1, 1, 1), num_classes=0, **options)


TIMMS: dict[str, Callable[[], Any]] = {
    'second version': partial(timms, dims=NARROW, conv_mlp=True, use_grn=True, ls_init_value=None),
    'first version, wide': partial(timms, dims=WIDE),
}


@pytest.mark.parametrize('kind', TIMMS)
def test_timms(kind: str, tmp_path: Path) -> None:
    make = TIMMS[kind]
    model = drawn(make())
    other = Other(make, lambda model, x: model(x), 'timm', sides=SIDES)
    source = saved(model, tmp_path / 'model.safetensors')
    brought = assert_both_ways(other, source, model, created, tmp_path)
    assert brought.network is not None
    assert brought.network['use_grn'] is (kind == 'second version')


@pytest.mark.parametrize('version', ['', 'V2'])
def test_hugging_faces(version: str, tmp_path: Path) -> None:
    transformers = library('transformers')
    sizes: dict[str, Any] = dict(hidden_sizes=[4, 8], depths=[1, 2], num_stages=2)
    kind = getattr(transformers, f'ConvNext{version}Model')
    make = lambda: kind(getattr(transformers, f'ConvNext{version}Config')(**sizes))  # noqa: E731
    model = drawn(make())
    model.save_pretrained(tmp_path / 'model')

    def again(path: Path) -> Any:
        loaded, told = kind.from_pretrained(path, output_loading_info=True)
        assert not any(told.values()), told
        return loaded

    other = Other(make, lambda model, x: model(x).pooler_output, 'huggingface', sides=SIDES)
    brought = assert_both_ways(other, tmp_path / 'model', model, again, tmp_path)
    assert brought.network is not None
    assert brought.network['norm_epsilon'] == 1e-12
