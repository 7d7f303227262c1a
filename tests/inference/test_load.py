"""A trained network in a user's hands: loaded from a run or a file, asked for features."""

import json
import shutil
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jssl
from jssl.augment.views import CenterView
from jssl.backbones import ResNet
from jssl.data import TFDS
from jssl.data.canvas import Canvas
from jssl.data.loading.loader import resident
from jssl.evaluation import ArrayBatches, make_extractor
from jssl.inference.export import export
from jssl.inference.pretrained import Frozen, Pretrained
from jssl.interop.metadata import read_metadata
from jssl.runs.describe import describe
from tests.checks import refused, well_scaled
from tests.inference.conftest import carry_out
from tests.training import toy


@pytest.fixture(scope='module')
def network(run: Path) -> Any:
    return jssl.load(run)


@pytest.fixture(scope='module')
def digits(digits_dir: str) -> TFDS:
    return TFDS('embedded_digits', 'test[:10]', digits_dir)


@pytest.fixture(scope='module')
def images(digits: TFDS) -> list[np.ndarray]:
    """Arrays of several sizes."""
    return [decoded(digits, row) for row in range(len(digits))]


def decoded(source: TFDS, row: int) -> np.ndarray:
    canvas = resident(source, 32, 3, rows=np.array([row]))['canvas']
    height, width = canvas.size[0]
    return canvas.pixels[0, :height, :width]


def test_features_are_those_of_the_evaluation(
    network: Any, images: list[np.ndarray], digits: TFDS
) -> None:
    batches = ArrayBatches(resident(digits, 32, 3), 10)
    extract = make_extractor(network.algorithm, network.view)
    expected = extract(network.params, network.state, batches).features
    found = network.features(images)
    assert found.shape == (10, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        network.features(images, batch_size=4), expected, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(network.features(images[3]), expected[3], rtol=1e-5, atol=1e-6)


def test_the_file_alone_gives_the_same_features(
    network: Any, run: Path, images: list[np.ndarray], tmp_path: Path
) -> None:
    expected = network.features(images)
    paths = [network.save(tmp_path / name) for name in ('a.safetensors', 'a.npz')]
    for path in (run / 'backbone.safetensors', *paths):
        loaded = jssl.load(path)
        np.testing.assert_array_equal(loaded.features(images), expected)
        assert loaded.backbone == network.backbone
        assert loaded.canvas == 32
    assert read_metadata(paths[0]) == read_metadata(paths[1])


def test_a_run_whose_checkpoints_are_gone_is_its_exported_backbone(
    network: Any, run: Path, images: list[np.ndarray], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / 'copy'))
    shutil.rmtree(copy / 'checkpoints')
    found = jssl.load(copy)
    np.testing.assert_array_equal(found.features(images), network.features(images))
    with refused('directory of a run, with its checkpoints'):
        export(found, tmp_path / 'whole.npz', whole=True)


def test_a_run_is_named_by_a_relative_path_too(
    network: Any, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent)
    found = jssl.load(run.name)
    assert 'unreadable' not in capsys.readouterr().out
    assert found.params.keys() == network.params.keys() > {'backbone'}


def test_all_forms_of_an_image_give_the_same(
    network: Any, images: list[np.ndarray], tmp_path: Path
) -> None:
    from PIL import Image

    levels = np.repeat(np.arange(20 * 24, dtype=np.uint8).reshape(20, 24, 1), 3, axis=2)
    picture = Image.fromarray(levels)
    picture.save(tmp_path / 'it.png')
    expected = network.features(levels)
    same = [
        levels[..., 0],
        levels[..., :1],
        levels / 255,
        (levels / 255).astype('float32'),
        jnp.asarray(levels),
        picture,
        picture.convert('L'),
        picture.convert('L').convert('P'),
        str(tmp_path / 'it.png'),
        tmp_path / 'it.png',
        (tmp_path / 'it.png').read_bytes(),
    ]
    np.testing.assert_allclose(network.features(same), [expected] * len(same), rtol=1e-6)
    assert network.features(levels[None]).shape == (1, 16)
    assert network.features(np.stack([levels] * 3) / 255).shape == (3, 16)


@pytest.mark.parametrize(
    ('given', 'parts'),
    [
        (np.zeros((4, 4, 3)) - 0.5, ('from -0.5 to -0.5', '(images + 1) / 2')),
        (np.full((4, 4, 3), 200.0), ('from 200 to 200', 'images.astype(np.uint8)')),
        (
            np.full((4, 4, 3), 255),
            ('int64', 'uint8 from 0 to 255', 'give images.astype(np.uint8).'),
        ),
        (np.ones((4, 4, 3), int), ('where 1 is white',)),
        (np.full((4, 4, 3), 4000, np.uint16), ('from 4000 to 4000', 'images / 4095')),
        (np.full((4, 4, 3), np.nan), ('nan', 'before anything normalises')),
        (np.zeros((3, 4, 5), np.uint8), ('channels first', 'transpose(1, 2, 0)')),
        (np.zeros((2, 3, 4, 5), np.uint8), ('channels first', 'transpose(0, 2, 3, 1)')),
        (np.zeros((5, 8, 8), np.uint8), ('images[..., None]',)),
        ([], ('at least one image',)),
        ([np.zeros((2, 4, 4, 3), np.uint8)], ('image 0 of the list', 'as an array by itself')),
        ({'a': 1}, ('no image', 'a path')),
        ('nowhere.png', ("'nowhere.png'", 'path of an image file')),
        ('.', ('folder', 'jssl embed')),
    ],
)
def test_what_is_no_image_is_refused_in_words(
    network: Any, given: Any, parts: tuple[str, ...]
) -> None:
    with refused(*parts):
        network.features(given)


def test_layers_of_a_residual_network(network: Any, images: list[np.ndarray]) -> None:
    batch = images[:2]
    last = network.features(batch, layer='map')
    assert last.shape == (2, 4, 4, 16)
    np.testing.assert_allclose(last.mean((1, 2)), network.features(batch), rtol=1e-5, atol=1e-6)
    assert network.features(batch, layer='patches').shape == (2, 16, 16)
    assert network.features(batch, layer=1).shape == (2, 16, 16, 4)
    np.testing.assert_allclose(network.features(batch, layer=-1), last, rtol=1e-6)
    with refused("layer='class_token'", 'pooled, patch_mean, patches, map', 'stages 1 to 3'):
        network.features(batch, layer='class_token')
    with refused("layer='poold'", "Did you mean 'pooled'?"):
        network.features(batch, layer='poold')
    with refused('layer=9', 'from 1 to 3'):
        network.features(batch, layer=9)


def test_weights_that_do_not_say_their_network_need_it_said(
    network: Any, run: Path, images: list[np.ndarray], tmp_path: Path
) -> None:
    bare, weights = tmp_path / 'bare.safetensors', load_file(run / 'backbone.safetensors')
    save_file(weights, bare)
    with refused(str(bare), 'backbone=ResNet(depth=50)'):
        jssl.load(bare)
    loaded = jssl.load(bare, backbone=network.backbone, view=network.view)
    np.testing.assert_allclose(loaded.features(images[0]), network.features(images[0]), rtol=1e-5)
    assert jssl.load(bare, backbone=network.backbone).view == CenterView()
    section = network.config['model']['backbone']
    assert jssl.load(bare, backbone=section).backbone == network.backbone
    with refused("backbone.type='ResNot'", 'ResNet'):
        jssl.load(bare, backbone={'type': 'ResNot'})
    with refused(str(bare), 'does not fit ResNet', '11,186,112 parameters', 'depth and widths'):
        jssl.load(bare, backbone=ResNet(depth=18))
    with refused(str(bare), 'does not fit ResNet', 'lack'):
        jssl.load(bare, backbone=ResNet(depth=10, base_channels=4))


def test_a_class_that_a_file_names_is_not_run(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / 'copy'))
    record = json.loads((copy / 'config.json').read_text())
    record['config']['model']['backbone']['type'] = 'subprocess:Popen'
    (copy / 'config.json').write_text(json.dumps(record))
    with refused("'subprocess:Popen'", "trusted=['subprocess:Popen']"):
        jssl.load(copy)
    path = tmp_path / 'evil.safetensors'
    told = read_metadata(run / 'backbone.safetensors')
    told['backbone'] = json.dumps({'type': 'subprocess:Popen', 'args': 'true'})
    save_file(load_file(run / 'backbone.safetensors'), path, metadata=told)
    with refused(str(path), "'subprocess:Popen'"):
        jssl.load(path)
    told['backbone'] = '{'
    save_file(load_file(run / 'backbone.safetensors'), path, metadata=told)
    with refused(f'metadata of {path} are damaged', "'backbone'"):
        jssl.load(path)


def test_a_network_computes_in_the_type_of_its_run(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / 'copy'))
    record = json.loads((copy / 'config.json').read_text())
    record['config']['dtype'] = 'bfloat16'
    (copy / 'config.json').write_text(json.dumps(record))
    network = jssl.load(copy)
    assert network.backbone.dtype == 'bfloat16'
    assert jssl.load(network.save(tmp_path / 'it.npz')).backbone.dtype == 'bfloat16'


def test_a_type_that_none_can_compute_in_is_told_with_its_file(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / 'copy'))
    record = json.loads((copy / 'config.json').read_text())
    record['config']['dtype'] = 'float7'
    (copy / 'config.json').write_text(json.dumps(record))
    with refused(f'{copy / "config.json"}: ', "dtype='float7'"):
        jssl.load(copy)


ENDLESS = dict(embed_dims=8, num_layers=100_000, num_heads=1, feedforward_channels=8)


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('canvas', '"x"', 'canvas'),
        ('canvas', '-1', 'canvas'),
        ('canvas', '1e9', 'canvas'),
        ('channels', '7', 'channels'),
        ('eval_view', '[]', 'eval_view'),
        ('eval_view', '{"type": "View"}', 'as View prepares them'),
        ('backbone', 'null', 'which network'),
        ('backbone', '{"type": "ResNet", "depth": 10, "name": "x"}', 'name'),
        ('backbone', '[' * 100_000, 'damaged'),
        (
            'backbone',
            '{"type": "ResNet", "depth": 10, "base_channels": 1000000}',
            'parameters, and',
        ),
    ],
)
def test_metadata_that_somebody_changed_are_refused(
    run: Path, tmp_path: Path, name: str, value: str, words: str
) -> None:
    path = tmp_path / 'it.safetensors'
    told = read_metadata(run / 'backbone.safetensors') | {name: value}
    save_file(load_file(run / 'backbone.safetensors'), path, metadata=told)
    with refused(str(path), words):
        jssl.load(path)


def test_a_run_without_its_metrics_has_no_scores(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / 'copy'))
    assert 'knn' in jssl.load(copy).metadata['scores']
    (copy / 'metrics.jsonl').write_text('{\n{\n')
    assert 'scores' not in jssl.load(copy).metadata
    (copy / 'metrics.jsonl').unlink()
    assert jssl.load(copy).metadata['steps'] == '8'


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with refused("trusted='a:b' must be a list"):
        jssl.load(tmp_path, trusted='a:b')
    with refused('no such file', '--workdir'):
        jssl.load(tmp_path / 'nowhere')
    with refused('no run that can be loaded', 'config.json'):
        jssl.load(tmp_path)
    with refused('Flax module', 'ResNet(depth=50)'):
        jssl.load(tmp_path, backbone='ResNet')  # type: ignore[arg-type]


def test_the_whole_algorithm_of_a_run_is_there(network: Any) -> None:
    assert set(network.params) == {'backbone', 'neck'}
    assert type(network.algorithm).__name__ == 'SimCLR'
    assert network.config['model']['neck']['out_channels'] == 8
    assert jax.tree.leaves(network.state)[0].dtype == np.float32


class Own(nn.Module):
    """A network of a user's own."""

    width: int = 8

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        return (nn.relu(nn.Conv(self.width, (4, 4), strides=4)(images)),)


def test_a_network_of_ones_own_is_built_once_it_is_named(tmp_path: Path) -> None:
    algorithm, view = Frozen(Own(width=4)), CenterView(size=8, resize=8)
    views = {'views': (jnp.zeros((1, 8, 8, 3)),)}
    params, state = well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), views))
    told = describe(algorithm.backbone, view, 8, 3)
    network = Pretrained(algorithm, params, state, view, 8, metadata=told)
    path, name = network.save(tmp_path / 'own.safetensors'), f'{__name__}:Own'
    with refused(repr(name), f'trusted=[{name!r}] to jssl.load', f'--trust={name}'):
        jssl.load(path)
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    for loaded in (jssl.load(path, trusted=[name]), jssl.load(path, backbone=Own(width=4))):
        np.testing.assert_allclose(loaded.features(image), network.features(image), rtol=1e-6)


def test_an_algorithm_of_ones_own_needs_no_backbone(tmp_path: Path) -> None:
    view = CenterView(size=8, resize=8)
    found = toy.experiment(toy.Toy(part='encoder'), eval_view=view, epochs=1)
    name = 'tests.training.toy:Toy'
    config = {
        'model': {'type': name, 'part': 'encoder'},
        'eval_view': {'type': 'CenterView', 'size': 8, 'resize': 8},
        'canvas': 8,
    }
    trained = carry_out(found, tmp_path, config)
    with refused(repr(name), 'trusted='):
        jssl.load(tmp_path)
    network = jssl.load(tmp_path, trusted=[name])
    image = toy.images(1, 5)
    normal = view(Canvas(jnp.asarray(image[0]), jnp.array([8, 8])))
    kernel = trained.params['encoder']['kernel']
    np.testing.assert_allclose(network.features(image)[0], normal.reshape(-1) @ kernel, rtol=1e-4)
    with refused('Toy has no part called backbone'):
        _ = network.backbone
    assert len(repr(network)) < 500
