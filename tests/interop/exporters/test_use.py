"""What the page beside exported weights says of other libraries runs there, offline."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from jssl.augment.views import CenterView
from jssl.backbones import VisionTransformer
from jssl.interop.exporters import Parcel, huggingface, timm, write
from jssl.runs.describe import describe
from tests.interop.layouts.others import library
from tests.interop.layouts.tiny import arrays_of

ARCH = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16)
NETWORK = VisionTransformer(ARCH, img_size=12, patch_size=4)
VIEW = CenterView(size=12, resize=12)


def used(module: ModuleType, path: Path, names: dict[str, Any]) -> dict[str, Any]:
    """What the lines of a page leave, run beside the weights that they are about."""
    write(path, Parcel(arrays_of(), describe(NETWORK, VIEW, 24, 3), NETWORK), path.stem)
    code = re.findall('```python\n(.*?)```', module.USE.format(name=path.name), flags=re.DOTALL)
    exec(compile(code[0], path.name, 'exec'), names)
    return names


def test_transformers_makes_the_network_and_prepares_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    library('transformers')
    import transformers

    found = used(huggingface, Path('huggingface'), {'transformers': transformers})
    weights = found['network'].state_dict()['embeddings.patch_embeddings.projection.weight']
    np.testing.assert_array_equal(weights, arrays_of()['patch_embed.projection.weight'])
    image = np.full((20, 15, 3), 255, 'uint8')
    pixels = found['images'](image, return_tensors='np')['pixel_values']
    white = (255 - np.array(VIEW.mean)) / np.array(VIEW.std)
    expected = np.broadcast_to(white[None, :, None, None], (1, 3, 12, 12))
    np.testing.assert_allclose(pixels, expected, rtol=1e-5)


def test_timm_makes_the_network_and_prepares_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library('timm')
    import timm as of_timm
    from PIL import Image

    found = used(timm, Path('timm'), {'timm': of_timm})
    weights = found['network'].state_dict()['patch_embed.proj.weight']
    np.testing.assert_array_equal(weights, arrays_of()['patch_embed.projection.weight'])
    pixels = found['images'](Image.new('RGB', (20, 15), 'white')).numpy()
    white = (255 - np.array(VIEW.mean)) / np.array(VIEW.std)
    expected = np.broadcast_to(white[:, None, None], (3, 12, 12))
    np.testing.assert_allclose(pixels, expected, rtol=1e-5)
    # The file alone is loaded by the name and the arguments.
    said = json.loads(Path('timm', 'config.json').read_text())
    alone = of_timm.create_model(
        said['architecture'],
        num_classes=0,
        checkpoint_path='timm/model.safetensors',
        **said['model_args'],
    )
    again = alone.state_dict()['patch_embed.proj.weight']
    np.testing.assert_array_equal(again, weights)
