"""Tiny models of other libraries, weights drawn at random, and what jssl makes of their files."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl.components import build_at
from jssl.inference.carry import carry
from jssl.inference.layers import make_outputs
from jssl.inference.load import load
from jssl.interop.bring import Brought, bring
from jssl.interop.exporters import formats
from jssl.interop.exporters import timm as exporter
from jssl.interop.metadata import read_metadata
from jssl.kinds import Backbone

torch = pytest.importorskip('torch', reason='PyTorch is not installed')

from experiments.torch_device import declare_operators  # noqa: E402  it imports PyTorch

HEADS = 2
SIDES = (32, 48)  # the table's, and another
CLOSE = 1e-5  # of the largest feature


def library(name: str) -> Any:
    """A library that is installed; else the test is skipped with the reason."""
    declare_operators()
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'jssl[bridge]'")


def drawn(model: Any) -> Any:
    """The model with all parameters and stored statistics drawn anew, ready to be evaluated."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.state_dict().values():
            if not value.is_floating_point():
                continue
            if value.ndim < 2:
                value.copy_(1 + 0.2 * torch.randn(value.shape).abs())
            else:
                value.normal_(0, value.shape[-1] ** -0.5 if value.ndim == 2 else 0.3)
    return model.eval()


def images(side: int) -> np.ndarray:
    return np.random.default_rng(side).standard_normal((16, side, side, 3)).astype('float32')


@dataclasses.dataclass(frozen=True, eq=False)
class Other:
    """A model of another library.

    Attributes:
      make: makes it.
      features: of the model, for images (B, C, H, W): (B, D).
      to: the format that it is written in again.
      layer: of jssl, of which the features are.
      sides: of the images that it takes.
    """

    make: Callable[[], Any]
    features: Callable[[Any, Any], Any]
    to: str
    layer: str = 'pooled'
    sides: tuple[int, ...] = SIDES

    def expected(self, model: Any, side: int) -> np.ndarray:
        with torch.no_grad():
            batch = torch.from_numpy(images(side).transpose(0, 3, 1, 2).copy())
            return self.features(model, batch).numpy()


def network_of(brought: Brought) -> Any:
    """The module that a file is for, with as many heads as all models here have."""
    assert brought.network is not None
    network = dict(brought.network)
    if 'arch' in network and network['arch'].get('num_heads', 0) is None:
        network['arch'] = network['arch'] | {'num_heads': HEADS}
    return build_at('backbone', Backbone, network)


def assert_features(network: Any, other: Other, model: Any) -> None:
    outputs = jax.jit(make_outputs(network.algorithm, other.layer))
    for side in other.sides:
        found = outputs(network.params, network.state, images(side))
        expected = other.expected(model, side)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * scale)


def assert_both_ways(
    other: Other, source: Path, model: Any, again: Callable[[Path], Any], tmp_path: Path
) -> Brought:
    """Comes in with the model's features, goes out to be loaded there, and comes in again."""
    brought = bring(source)
    assert brought.layout is not None
    network = network_of(brought)
    said: list[str] = []
    loaded = load(source, backbone=network, report=said.append)
    assert brought.layout.title in said[0]
    assert_features(loaded, other, model)
    target = tmp_path / f'out{formats()[other.to].ENDING}'
    written = carry(source, target, other.to, backbone=network, report=said.append)
    reloaded = again(written).eval()
    for key, value in model.state_dict().items():
        assert torch.equal(value, reloaded.state_dict()[key]), key
    for side in other.sides:
        np.testing.assert_array_equal(other.expected(reloaded, side), other.expected(model, side))
    back = bring(written)
    assert back.arrays.keys() == brought.arrays.keys()
    for key, value in brought.arrays.items():
        np.testing.assert_array_equal(back.arrays[key], value)
    assert load(written, report=said.append).backbone == network  # it says which network it is for
    return brought


def saved(model: Any, path: Path) -> Path:
    """The file of a model's parameters and statistics."""
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path


def strictly(make: Callable[[], Any]) -> Callable[[Path], Any]:
    """Loads a file into a new model, in which every name must have its array and the reverse."""
    from safetensors.torch import load_file

    def again(path: Path) -> Any:
        model = make()
        model.load_state_dict(load_file(path), strict=True)
        return model

    return again


def created(path: Path) -> Any:
    """What the lines of a page make of a folder for timm, which tells all sizes and the images."""
    timm = library('timm')
    code = re.findall('```python\n(.*?)```', exporter.USE.format(name=str(path)), flags=re.DOTALL)
    found: dict[str, Any] = {'timm': timm}
    exec(compile(code[0], path.name, 'exec'), found)
    told = timm.data.resolve_model_data_config(found['network'])
    view = json.loads(read_metadata(path / 'model.safetensors')['eval_view'])
    assert list(told['input_size']) == [3, view['size'], view['size']]
    for name in ('mean', 'std'):
        np.testing.assert_allclose(told[name], np.array(view[name]) / 255, rtol=1e-12)
    assert found['network'].num_classes == 0
    told = json.loads((path / 'config.json').read_text())
    assert told['num_features'] == found['network'].num_features
    return found['network']
