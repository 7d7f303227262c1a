"""Beginning with another run's backbone, or with published weights."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import jssl
from jssl.algorithm import Algorithm, Batch, TrainState
from jssl.algorithms import ImageClassifier
from jssl.backbones import ResNet, VisionTransformer
from jssl.fitting.pretrained import (
    check_weights,
    load_backbone_into,
    read_weights,
    tell_changed_data,
)
from jssl.heads import LinearClsHead
from jssl.interop.mmselfsup import export_state
from jssl.interop.safetensors import save_backbone
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import read_metrics
from jssl.training import sharding
from tests.algorithms import runs, tiny_models
from tests.algorithms.tiny_models import Stem
from tests.checks import assert_trees_close, refused, structure, well_scaled
from tests.interop.layouts.test_layouts import file_of
from tests.training import toy

VIT = {'embed_dims': 8, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 16}
SWIN = {'embed_dims': 8, 'depths': (2,), 'num_heads': (2,)}
RESNET = ResNet(10, 8, strides=(2,), out_indices=(1,), cifar_stem=True)


def train_state(backbone: nn.Module, seed: int = 0, side: int = 8) -> TrainState:
    """The state of a classifier with values of its own for every seed."""
    views = {'views': (jnp.zeros((2, side, side, 3)),)}
    return begun(ImageClassifier(backbone, LinearClsHead(3)), views, seed)


def begun(algorithm: Algorithm, batch: Batch, seed: int = 0) -> TrainState:
    """The state of an algorithm with values of its own for every seed."""
    params, state = well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), batch))
    params, state = jax.tree.map(lambda leaf: leaf + seed, (params, state))
    return TrainState(jnp.zeros((), 'int32'), params, state, (), jax.random.key(seed))


def export(folder: Path, state: TrainState) -> Path:
    path = folder / 'backbone.safetensors'
    save_backbone(path, state.params, stats(state), metadata={})
    return path


def assert_same_backbone(state: TrainState, other: TrainState) -> None:
    for tree, wanted in ((state.params, other.params), (stats(state), stats(other))):
        assert_trees_close(tree.get('backbone'), wanted.get('backbone'), rtol=0)


def stats(state: TrainState) -> Any:
    return state.state['batch_stats']


def begin_run(folder: Path, state: TrainState, step: int = 1, **record: str) -> None:
    """A run that has not ended, with a checkpoint of this state."""
    (folder / 'config.json').write_text(json.dumps({'config': {}, **record}))
    with contextlib.closing(Checkpoints(folder / 'checkpoints')) as checkpoints:
        checkpoints.save(step, state)


def load(path: Path, into: TrainState, backbone: nn.Module = RESNET) -> tuple[TrainState, str]:
    """The state with the weights in it, and what was said; `backbone` matters to its tables."""
    said: list[str] = []
    loaded = load_backbone_into(into, backbone, read_weights(str(path)), str(path), said.append)
    return loaded, said[0]


def test_weights_in_a_home_directory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path.parent))
    path = Path(export(tmp_path, train_state(RESNET, 1)))
    whole = read_weights(str(path))
    for given in (f'~/{tmp_path.name}', f'~/{tmp_path.name}/{path.name}'):
        assert read_weights(given).keys() == whole.keys()


@pytest.mark.parametrize('whole_run', [True, False])
def test_the_exported_backbone_of_a_run_takes_the_place_of_the_fresh_one(
    tmp_path: Path, whole_run: bool
) -> None:
    trained, fresh = train_state(RESNET, 1), train_state(RESNET)
    path = export(tmp_path, trained)
    loaded, said = load(tmp_path if whole_run else path, fresh)
    assert_same_backbone(loaded, trained)
    assert_trees_close(loaded.params['head'], fresh.params['head'], rtol=0)
    assert structure(loaded) == structure(fresh)
    assert 'backbone from' in said
    assert 'new here' not in said
    assert 'not used' not in said


def test_a_run_that_has_not_ended_gives_its_newest_intact_checkpoint(tmp_path: Path) -> None:
    mesh = sharding.make_mesh(fsdp=8)
    for step in (1, 2, 3):
        state = train_state(RESNET, step)
        begin_run(tmp_path, jax.device_put(state, sharding.state_shardings(state, mesh)), step)
    damaged = next((tmp_path / 'checkpoints' / '3' / 'train_state').rglob('manifest.ocdbt'))
    damaged.write_bytes(b'')
    loaded, _ = load(tmp_path, train_state(RESNET))
    assert_same_backbone(loaded, train_state(RESNET, 2))
    assert (tmp_path / 'checkpoints' / '3').is_dir()  # left for the run itself to move aside


def taught(seed: int = 0) -> TrainState:
    """The state of DINO, whose teacher has values and batch statistics of its own."""
    return begun(tiny_models.tiny_dino(), runs.seen(), seed)


@pytest.mark.parametrize('keeps', ['student', 'teacher'])
def test_what_the_algorithm_of_a_run_keeps_is_taken(keeps: str, tmp_path: Path) -> None:
    trained = taught(1)
    begin_run(tmp_path, trained, keeps=keeps)
    loaded, _ = load(tmp_path, train_state(tiny_models.STEM))
    teacher = trained.state['teacher']
    whose = trained.params, stats(trained)
    if keeps == 'teacher':
        whose = teacher['params'], teacher['batch_stats']
    for found, expected in zip((loaded.params, stats(loaded)), whose, strict=True):
        assert_trees_close(found['backbone'], expected['backbone'], rtol=0)


def test_a_teacher_begins_as_the_network_that_it_is_to_follow(tmp_path: Path) -> None:
    trained, fresh = train_state(tiny_models.STEM, 1), taught()
    anchor = {'params': {'backbone': fresh.params['backbone']}}  # DINOv3 has a second one
    fresh = dataclasses.replace(fresh, state={**fresh.state, 'gram_teacher': anchor})
    loaded, _ = load(export(tmp_path, trained), fresh)
    teacher, anchor = loaded.state['teacher'], loaded.state['gram_teacher']
    assert_trees_close(anchor['params'], {'backbone': trained.params['backbone']}, rtol=0)
    assert_same_backbone(loaded, trained)
    assert_trees_close(teacher['params']['backbone'], trained.params['backbone'], rtol=0)
    assert_trees_close(teacher['batch_stats']['backbone'], stats(trained)['backbone'], rtol=0)
    assert_trees_close(teacher['params']['head'], fresh.state['teacher']['params']['head'], rtol=0)
    assert structure(loaded) == structure(fresh)
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(loaded.params)]
    assert not {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(teacher)} & {*places}


def test_arrays_stay_where_the_fresh_ones_were(tmp_path: Path) -> None:
    fresh, mesh = train_state(Stem()), sharding.make_mesh(devices=8)
    placed = jax.device_put(fresh, sharding.state_shardings(fresh, mesh))
    export(tmp_path, train_state(Stem(), 1))
    loaded, _ = load(tmp_path, placed)
    for leaf, wanted in zip(jax.tree.leaves(loaded), jax.tree.leaves(placed), strict=True):
        assert leaf.sharding == wanted.sharding
        assert leaf.dtype == wanted.dtype


def test_of_a_whole_model_of_the_reference_the_backbone_is_taken(tmp_path: Path) -> None:
    trained = train_state(RESNET, 1)
    weights = export_state(trained.params, trained.state)
    weights['backbone.bn1.num_batches_tracked'] = np.array(7)
    assert 'head.fc.weight' in weights
    path = tmp_path / 'model.safetensors'
    save_file({key: np.ascontiguousarray(value) for key, value in weights.items()}, path)
    loaded, said = load(path, train_state(RESNET))
    assert_same_backbone(loaded, trained)
    assert 'not used' not in said


IMAGES = jnp.asarray(np.random.default_rng(0).random((2, 12, 12, 3), 'float32'))


def test_a_network_with_stacked_blocks_gives_its_weights_to_one_without_and_back(
    tmp_path: Path,
) -> None:
    plain = VisionTransformer(VIT, img_size=8, patch_size=4)
    trained = train_state(plain.clone(scan_layers=True), 1)
    export(tmp_path, trained)
    loaded, said = load(tmp_path, train_state(plain))
    assert 'new' not in said
    stacked = trained.params['backbone']['layers']
    for index in (0, 1):
        layer = jax.tree.map(lambda leaf, index=index: leaf[index], stacked)
        assert_trees_close(loaded.params['backbone'][f'layers.{index}'], layer, rtol=0)
    export(tmp_path, loaded)
    assert_same_backbone(load(tmp_path, train_state(plain.clone(scan_layers=True)))[0], trained)


def test_another_backbone_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    path = export(tmp_path, train_state(RESNET))
    with refused(str(path), 'has shape (8,)', '(16,)', 'depth or widths differ.'):
        load(path, train_state(RESNET.clone(base_channels=16)))
    with refused('config.model.backbone', 'lack', 'layer2.0', 'type, depth and widths'):
        load(path, train_state(RESNET.clone(strides=(2, 2), out_indices=(2,))))
    with refused('part called backbone'):
        load(path, TrainState(jnp.zeros(()), {}, {}, (), jax.random.key(0)))


def test_what_does_not_fit_is_told_before_the_baselines_are_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'it.safetensors'
    save_file({'backbone.weight': np.zeros((3, 192), 'float32')}, path)
    with refused('does not fit config.model.backbone', 'shape (3, 192)'):
        jssl.fit(toy.experiment(pretrained=str(path)), workdir=tmp_path / 'run')
    assert 'random network' not in capsys.readouterr().out
    assert read_metrics(tmp_path / 'run' / 'metrics.jsonl') == []


def test_the_folder_of_a_model_is_weights_and_no_run(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / 'config.json').write_text('{"architecture": "vit_tiny"}')
    tell_changed_data(tmp_path / 'gone', {}, {}, said.append)
    save_file(file_of('timm-vit'), tmp_path / 'model.safetensors')
    tell_changed_data(tmp_path, {}, {}, said.append)
    assert said == []
    assert any(key.startswith('backbone.layers.') for key in read_weights(str(tmp_path)))


def test_a_pickle_in_a_folder_comes_with_the_command_that_converts_it(tmp_path: Path) -> None:
    (tmp_path / 'pytorch_model.bin').write_bytes(b'PK')
    command = f'jssl import {tmp_path}/pytorch_model.bin {tmp_path}/model.safetensors'
    with refused('is a pickle', command):
        read_weights(str(tmp_path))
    save_file(file_of('timm-vit'), tmp_path / 'model.safetensors')
    assert read_weights(str(tmp_path))


def test_whose_names_a_file_has_can_be_said(tmp_path: Path) -> None:
    path = str(tmp_path / 'it.safetensors')
    save_file(file_of('timm-vit'), path)
    said: list[str] = []
    for layout in ('', 'dino'):
        read_weights(path, said.append, backbone=None, layout=layout)
    assert '(timm-vit)' in said[0]
    assert '(dino)' in said[1]
    check_weights(path, 'dino')
    with refused("no layout 'dinu'", "'dino'"):
        check_weights(path, 'dinu')
    for other in (str(tmp_path), ''):
        with refused("config.layout='dino'", repr(other), 'Leave config.layout empty'):
            check_weights(other, 'dino')


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with refused('not the directory of a run', '--workdir'):
        read_weights(str(tmp_path))
    with refused('nowhere.safetensors'):
        read_weights(str(tmp_path / 'nowhere.safetensors'))
    for name in ('mocov2.pth', 'x' * 5000):
        with refused('There is no file', name):
            read_weights(name)
    (tmp_path / 'checkpoints').mkdir()
    with refused(str(tmp_path), 'config.json cannot be read'):
        read_weights(str(tmp_path))
    (tmp_path / 'config.json').write_text('{"config": {}, "keeps": "both"}')
    with refused("keeps='both'", 'student or teacher'):
        read_weights(str(tmp_path))
    (tmp_path / 'config.json').write_text('{"config": {}}')
    with refused('no checkpoint that can be read', 'file of weights'):
        read_weights(str(tmp_path))


class Twice(nn.Module):
    """Two parameters that the reference would both call weight."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        kernel, scale = (self.param(name, nn.initializers.ones, (3,)) for name in NAMES)
        return (images * kernel * scale,)


NAMES = ('kernel', 'scale')


def test_a_backbone_of_another_house_is_exported_under_names_that_lose_nothing(
    tmp_path: Path,
) -> None:
    state = train_state(Twice())
    path = export(tmp_path, state)
    weights = read_weights(str(path))
    assert weights.keys() == {'backbone.kernel', 'backbone.scale'}
    for name in NAMES:
        expected = state.params['backbone'][name]
        np.testing.assert_array_equal(weights[f'backbone.{name}'], expected)
    with refused(str(path), 'every array has a name of its own'):
        load(path, train_state(Twice()))


@pytest.mark.parametrize('backbone', [[np.ones(3)], {'a': (np.ones(2), np.zeros(1))}, np.ones(4)])
def test_a_backbone_of_any_structure_is_exported(backbone: Any, tmp_path: Path) -> None:
    weights = save_backbone(tmp_path / 'it.safetensors', {'backbone': backbone}, {}, metadata={})
    found = sorted(weights.values(), key=len)
    expected = sorted(jax.tree.leaves(backbone), key=len)
    assert all((one == other).all() for one, other in zip(found, expected, strict=True))
    assert len(weights) == len(expected)


def test_a_run_without_a_backbone_is_nothing_to_begin_with(tmp_path: Path) -> None:
    begin_run(tmp_path, TrainState(jnp.zeros((), 'int32'), {'encoder': jnp.ones(2)}, {}, (), KEY))
    with refused(str(tmp_path), 'without parameters called backbone'):
        read_weights(str(tmp_path))


KEY = jax.random.key(0)
