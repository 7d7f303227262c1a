"""Weights in every format that is a module of `jssl.interop.exporters`."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl.backbones import ResNet, VisionTransformer
from jssl.interop.bring import bring
from jssl.interop.exporters import Parcel, formats, packed, write
from jssl.interop.metadata import read_metadata
from jssl.interop.mmselfsup import export_state
from jssl.weights.files import read_weights
from tests.algorithms.runs import seen
from tests.algorithms.tiny_models import tiny_byol, tiny_dino
from tests.checks import refused, well_scaled
from tests.interop.layouts.tiny import arrays_in, arrays_of

ARCH = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
SAID = {'algorithm': 'BYOL', 'ä': '"'}


@pytest.fixture(scope='module')
def trained() -> tuple[Any, Any, Any]:
    """An algorithm with parameters and state."""
    algorithm = tiny_byol()
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), seen())
    params, state = well_scaled(shapes)
    return algorithm, params, state


@pytest.fixture(scope='module')
def parcel(trained: tuple[Any, Any, Any]) -> Parcel:
    return packed(*trained, SAID)


@pytest.mark.parametrize('to', ['npz', 'safetensors'])
@pytest.mark.parametrize('whole', [False, True])
def test_weights_come_out_as_they_went_in(
    trained: tuple[Any, Any, Any], to: str, whole: bool, tmp_path: Path
) -> None:
    algorithm, params, state = trained
    given = packed(algorithm, params, state, SAID, whole)
    path = write(tmp_path / 'new' / f'it{formats()[to].ENDING}', given, to)
    named = export_state(params, state, algorithm=algorithm)
    expected = {k: v for k, v in named.items() if whole or k.startswith('backbone.')}
    found = read_weights(path)
    assert len(found) == len(expected)
    for key, value in expected.items():
        name = key if whole else key.removeprefix('backbone.')
        np.testing.assert_array_equal(found[name], value)
    assert read_metadata(path) == SAID
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_backbone_is_that_which_the_algorithm_keeps(tmp_path: Path) -> None:
    algorithm = tiny_dino()
    params, state = well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), seen()))
    path = write(tmp_path / 'it.npz', packed(algorithm, params, state, {}))
    teacher = state['teacher']
    parts = [{'backbone': teacher[name]['backbone']} for name in ('params', 'batch_stats')]
    expected = export_state(parts[0], {'batch_stats': parts[1]})
    found = read_weights(path)
    assert {f'backbone.{name}' for name in found} == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[f'backbone.{name}'])


def test_mmpretrain_has_a_backbone_as_in_its_checkpoints_and_whole_algorithms(
    trained: tuple[Any, Any, Any], parcel: Parcel, tmp_path: Path
) -> None:
    path, network = tmp_path / 'it.safetensors', ResNet(10, 2)
    arrays = arrays_in(network)
    found = read_weights(write(path, Parcel(arrays, {}, network), 'mmpretrain'))
    counters = {key for key in found if key.endswith('.num_batches_tracked')}
    assert len(counters) == sum(key.endswith('running_mean') for key in arrays)
    assert found.keys() - counters == {f'backbone.{key}' for key in arrays}
    for key, value in arrays.items():
        np.testing.assert_array_equal(found[f'backbone.{key}'], value)
    with refused(type(trained[0].backbone).__name__, 'safetensors'):
        write(path, parcel, 'mmpretrain')
    whole = packed(*trained, SAID, whole=True)
    assert read_weights(write(path, whole, 'mmpretrain')).keys() == whole.arrays.keys()


def test_mmpretrain_scales_blocks_under_names_of_its_own(tmp_path: Path) -> None:
    arrays = arrays_of(scales=True)
    network = VisionTransformer(dict(ARCH, num_layers=2), img_size=12, patch_size=4)
    path = write(tmp_path / 'it.safetensors', Parcel(arrays, {}, network), 'mmpretrain')
    found = read_weights(path)
    for ours, theirs in (('gamma_1', 'attn.gamma1.weight'), ('gamma_2', 'ffn.gamma2.weight')):
        expected = arrays[f'layers.1.{ours}']
        np.testing.assert_array_equal(found[f'backbone.layers.1.{theirs}'], expected)
    brought = bring(path)
    assert brought.network is not None
    assert brought.network['layer_scale'] == 1.0
    assert brought.arrays.keys() == arrays.keys() - {'mask_token'}
    with refused("'register_tokens'", 'safetensors'):
        write(path, Parcel(arrays_of(registers=2), {}, network), 'mmpretrain')


def test_where_nothing_can_be_written_is_said(parcel: Parcel, tmp_path: Path) -> None:
    with refused("'it.pth'", '.npz or .safetensors'):
        write('it.pth', parcel)
    with refused("'it.npz'", 'must end with .safetensors', 'it.safetensors'):
        write('it.npz', parcel, 'safetensors')
    with refused("'onyx'", 'Valid names: huggingface, mmpretrain, npz'):
        write('it.npz', parcel, 'onyx')
    with refused('--to=onnx', 'jax2onnx', '--to=stablehlo', 'torch.onnx.export'):
        write('it.onnx', parcel, 'onnx')
    with refused("'it.npz'", 'a folder', 'give it.'):
        write('it.npz', parcel, 'huggingface')
    (tmp_path / 'file').write_text('')
    for name in ('it.npz', 'it.safetensors'):
        with refused('cannot be written', name):
            write(tmp_path / 'file' / name, parcel)


def test_damaged_files_say_nothing_of_themselves(tmp_path: Path) -> None:
    for name, data in (
        ('a.safetensors', b'\xff' * 20),
        ('b.safetensors', (5).to_bytes(8, 'little') + b'[1, 2'),
        ('c.npz', b'PK'),
    ):
        (tmp_path / name).write_bytes(data)
        with refused(name, 'could not be read as weights'):
            read_metadata(tmp_path / name)
    np.savez(tmp_path / 'd.npz', a=np.zeros(2))
    assert read_metadata(tmp_path / 'd.npz') == {}
