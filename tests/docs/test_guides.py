"""The code of the guides: what they give configs makes parts, what they load is loaded."""

import doctest
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from jssl.backbones import VisionTransformer
from jssl.cli.train import parse
from jssl.components import build
from jssl.config import experiment
from jssl.interop.layouts import find
from tests import tiny
from tests.docs.pages import run_python
from tests.interop.layouts.tiny import arrays_in


def described(digits_dir: str, **sections: Any) -> Any:
    """The experiment of the tiny run, with these sections of its config replaced."""
    config = parse(tiny.arguments(digits_dir)).config
    return experiment({**config, **sections})


def test_three_sources_of_one_config(digits_dir: str, tmp_path: Path) -> None:
    (tmp_path / 'photos').mkdir()
    for i in range(32):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / 'photos' / f'{i}.png')
    digits = f"name='embedded_digits', data_dir='{digits_dir}'"
    shorter = {
        "'/data/photos'": repr(str(tmp_path / 'photos')),
        "name='stl10', split='train'": f"{digits}, split='train[:64]'",
        "name='stl10', split='test'": f"{digits}, split='test[:64]'",
    }
    page = run_python('docs/guides/data.md', shorter)
    sections = {name: page[name] for name in ('data', 'probe_data', 'test_data')}
    found = described(digits_dir, **sections)
    assert [len(source) for source in (found.data, found.probe_data, found.test_data)] == [
        32,
        64,
        64,
    ]


def test_a_sampler_by_its_name(digits_dir: str) -> None:
    found = described(digits_dir, sampler=run_python('docs/guides/loading.md')['sampler'])
    assert type(found.sampler).__name__ == 'ClassBalanced'


def test_a_loss_of_ones_own_in_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    class FocalLoss:
        def __init__(self, gamma: float) -> None:
            self.gamma = gamma

        def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
            return logits.sum()

    module = ModuleType('my_losses')
    module.__dict__['FocalLoss'] = FocalLoss
    monkeypatch.setitem(sys.modules, 'my_losses', module)
    head = run_python('docs/guides/evaluation.md')['head'] | {'in_channels': 8, 'num_classes': 3}
    assert build('head', head).loss.gamma == 2.0


def test_weights_of_another_library_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arch = dict(embed_dims=384, num_layers=1, num_heads=6, feedforward_channels=64)
    small = VisionTransformer(arch=arch, img_size=28, patch_size=14)
    save_file(find('timm-vit').send(arrays_in(small, 28), small), 'vit_small.safetensors')
    network = run_python('docs/guides/weights.md')['network']
    assert "timm's vision transformer (timm-vit)" in capsys.readouterr().out
    assert network.features(np.zeros((28, 28, 3), np.uint8)).shape == (384,)


def test_the_example_of_a_docstring_is_one() -> None:
    shown = run_python('CONTRIBUTING.md', jax=jax)['nt_xent']
    (found,) = doctest.DocTestFinder().find(shown, 'nt_xent', globs={})
    assert doctest.DocTestRunner().run(found).failed == 0
    assert found.examples
