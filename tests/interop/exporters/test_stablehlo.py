"""A program that another process runs without a line of jssl, for any batch."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl.augment.views import CenterView
from jssl.backbones import VisionTransformer
from jssl.inference.carry import carry
from jssl.inference.pretrained import Frozen
from jssl.interop.exporters import Parcel, packed, use, write
from jssl.runs.describe import describe
from tests.checks import refused, well_scaled

ARCH = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
VIEW = CenterView(size=8, resize=8)
SIZES = (1, 3, 16)
CODE = """
import sys

{use}
assert features.shape == (1, 8)
np.savez('features.npz', **{{name: program.call(x) for name, x in np.load('images.npz').items()}})
assert not [name for name in sys.modules if name.split('.')[0] in ('jssl', 'flax')]
assert program.platforms == ('cpu', 'cuda', 'tpu')
"""


def made(**fields: Any) -> tuple[Frozen, Any, Any]:
    algorithm = Frozen(VisionTransformer(ARCH, img_size=8, patch_size=4, **fields))
    batch = {'views': (np.zeros((1, 8, 8, 3), 'float32'),)}
    params, state = well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), batch))
    return algorithm, params, state


def test_a_fresh_process_without_jssl_computes_the_same(tmp_path: Path) -> None:
    pytest.importorskip('flatbuffers')
    algorithm, params, state = made()
    parcel = packed(algorithm, params, state, describe(algorithm.backbone, VIEW, 16, 3))
    write(tmp_path / 'it.stablehlo', parcel)
    draw = np.random.default_rng(0)
    images = {str(n): draw.integers(0, 256, (n, 8, 8, 3), dtype='uint8') for n in SIZES}
    np.savez(tmp_path / 'images.npz', allow_pickle=False, **images)
    said = use(tmp_path / 'it.stablehlo', parcel)
    code = CODE.format(use=re.findall('```python\n(.*?)```', said, flags=re.DOTALL)[0])
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=env, check=True)
    everything = np.concatenate(list(images.values()))
    prepared = ((everything - np.array(VIEW.mean)) / np.array(VIEW.std)).astype('float32')
    expected = np.asarray(jax.jit(algorithm.extract_feat)(params, state, prepared))
    with np.load(tmp_path / 'features.npz') as file:
        found = np.concatenate([file[str(n)] for n in SIZES])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_weights_of_others_become_a_program_too(tmp_path: Path) -> None:
    pytest.importorskip('flatbuffers')
    algorithm, params, state = made()
    parcel = packed(algorithm, params, state, describe(algorithm.backbone, VIEW, 16, 3))
    source = write(tmp_path / 'it', parcel, 'timm')
    path = carry(source, tmp_path / 'it.stablehlo', 'stablehlo', report=print)
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    assert program.in_avals[0].shape[1:] == (8, 8, 3)
    assert program.out_avals[0].shape[1:] == (8,)


def broken(images: jax.Array) -> jax.Array:
    raise AttributeError('undefined')


def test_what_cannot_be_a_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('flatbuffers')
    algorithm, params, state = made()
    path = tmp_path / 'it.stablehlo'
    with refused('--whole', '--to=safetensors'):
        write(path, Parcel({}, {}))
    with refused('config.eval_view is a function', 'CenterView'):
        write(path, packed(algorithm, params, state, {}))
    told = describe(algorithm.backbone, VIEW, 16, 3)
    odd = Parcel({}, told, algorithm.backbone, broken)
    with refused(
        'VisionTransformer cannot be compiled for any batch', 'undefined', 'to=safetensors'
    ):
        write(path, odd)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with refused("pip install 'jssl[export]'"):
        write(path, Parcel({}, {}))
    assert not list(tmp_path.iterdir())
