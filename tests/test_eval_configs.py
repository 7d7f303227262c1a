"""Linear probing and fine-tuning from the command line, and the reference's recipes for them."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl import config
from jssl.algorithm import Run
from jssl.cli.train import parse
from jssl.components import build
from jssl.data import Arrays, Canvas
from jssl.interop.safetensors import save_backbone
from jssl.main import main
from jssl.runs.metrics import read_metrics
from jssl.training.experiment import Experiment
from tests.checks import refused, structure, well_scaled
from tests.conftest import ROOT

EVAL = ROOT / 'configs' / 'eval'
VIT = {'embed_dims': 8, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 16}
SWIN = {'embed_dims': 8, 'depths': (1, 1, 1, 1), 'num_heads': (1, 1, 1, 1)}
LINEAR = ('steplr', 'coslr', 'lars', 'vicreg', 'mocov3', 'mocov3-vit', 'mae', 'stages')
TOKENS = ('dino-small', 'dino-base', 'dinov2', 'dinov2-last', 'ijepa', 'ijepa-last')
FINETUNE = {
    'mae-base': (1024, 100, 2e-3, 0.65),
    'mae-large': (1024, 50, 4e-3, 0.75),
    'mae-huge': (1024, 50, 4e-3, 0.75),
    'mae-huge-448': (256, 50, 4e-3, 0.75),
    'maskfeat': (2048, 100, 8e-3, 0.65),
    'cae': (1024, 100, 8e-3, 0.65),
    'mocov3-base': (512, 150, 5e-4, None),
    'mocov3-large': (512, 100, 5e-4, None),
    'simmim-192': (2048, 100, 5e-3, 0.9),
    'simmim-224': (2048, 100, 5e-3, 0.9),
    'simmim-large': (2048, 100, 5e-3, 0.7),
}


def load(name: str, *arguments: str) -> dict[str, Any]:
    return parse([f'--config={EVAL / name}', *arguments]).config


def on_fake_images(described: dict[str, Any]) -> Experiment:
    """The experiment on grey images of 1,000 classes, with a small transformer if it has one."""
    images, backbone = np.full((16, 8, 8, 3), 128, np.uint8), described['model']['backbone']
    if backbone['type'] != 'ResNet':
        backbone['arch'] = SWIN if backbone['type'] == 'SwinTransformer' else VIT
    kinds = {'views': 'view', 'eval_view': 'view'}
    fields = ('model', 'views', 'eval_view', 'optimizer', 'schedule')
    parts = {field: build(kinds.get(field, field), described[field]) for field in fields}
    return Experiment(
        algorithm=parts.pop('model'),
        data=Arrays(images, np.arange(984, 1000)),
        batch_size=8,
        canvas=described['canvas'],
        epochs=described['epochs'],
        **parts,
    )


@pytest.mark.parametrize(
    'name',
    [
        'linear.py',
        *(f'linear.py:imagenet-{name}' for name in LINEAR),
        'linear_tokens.py',
        *(f'linear_tokens.py:imagenet-{name}' for name in TOKENS),
        'finetune.py',
        *(f'finetune.py:imagenet-{name}' for name in FINETUNE),
    ],
)
def test_every_variant_can_be_initialised(name: str) -> None:
    """Also that every key of its optimizer's groups is part of a parameter's name."""
    state = on_fake_images(load(name)).state_shapes
    heads = [leaf.shape[-1] for leaf in jax.tree.leaves(state.params['head'])]
    assert set(heads) == {1000}


@pytest.mark.parametrize('name', ['linear.py:imagenet-mae', 'finetune.py:imagenet-mae-base'])
def test_the_step_of_a_recipe_can_be_traced(name: str) -> None:
    experiment = on_fake_images(load(name))
    numbers = jax.ShapeDtypeStruct((8,), 'int32')
    canvas = Canvas(
        jax.ShapeDtypeStruct((8, 512, 512, 3), 'uint8'), jax.ShapeDtypeStruct((8, 2), 'int32')
    )
    batch = {'canvas': canvas, 'index': numbers, 'label': numbers}
    after, metrics = jax.eval_shape(experiment.step, experiment.state_shapes, batch)
    assert structure(after) == structure(experiment.state_shapes)
    assert {'loss', 'top1', 'top5'} <= metrics.keys()


@pytest.mark.parametrize('name', FINETUNE)
def test_fine_tuning_has_the_reference_s_numbers(name: str) -> None:
    """ALGORITHMS 7.3."""
    described = load(f'finetune.py:imagenet-{name}')
    optimizer = described['optimizer']
    numbers = (optimizer['lr'], optimizer['layer_decay_rate'])
    assert (described['batch_size'], described['epochs'], *numbers) == FINETUNE[name]
    assert optimizer['weight_decay'] == 0.05
    assert (described['model']['mixup'], described['model']['cutmix']) == (0.8, 1.0)
    assert described['model']['head']['loss']['label_smoothing'] == 0.1


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('finetune.py:imagenet-mae-base', 86_567_656),
        ('linear.py:imagenet-steplr', 25_557_032),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, parameters: int) -> None:
    model = build('model', load(name)['model'])
    run = Run(samples=1, steps_per_epoch=1, epochs=1, classes=1000)
    model = dataclasses.replace(model, run=run)
    batch = {'views': (jax.ShapeDtypeStruct((1, 224, 224, 3), 'float32'),)}
    params, _ = jax.eval_shape(model.init, jax.random.key(0), batch)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == parameters


@pytest.mark.parametrize(
    ('name', 'tokens', 'rate', 'epochs'),
    [('dino-small', 4, 0.001, 100), ('dino-base', 2, 0.001, 100), ('dinov2', 5, 0.001, 10)],
)
def test_probes_of_tokens_have_the_reference_s_numbers(
    name: str, tokens: int, rate: float, epochs: int
) -> None:
    """ALGORITHMS2 1 and 3 (9): rates for 256 images, and how many vectors stand side by side."""
    described = load(f'linear_tokens.py:imagenet-{name}')
    optimizer = described['optimizer']
    assert (described['batch_size'], described['epochs']) == (1024, epochs)
    assert (optimizer['lr'], optimizer['weight_decay']) == (4 * rate, 0.0)
    head = on_fake_images(described).state_shapes.params['head']
    assert head['fc']['kernel'].shape == (tokens * VIT['embed_dims'], 1000)


PARTS = '''
import dataclasses
import jax
import jax.numpy as jnp
from jssl.backbones import ResNet


class ResNet_CIFAR(ResNet):
    """MMClassification's: a stem of 3x3 without pooling."""

    cifar_stem: bool = True


@dataclasses.dataclass(frozen=True)
class FocalLoss:
    """Lin et al. 2017, equation 4."""

    gamma: float = 2.0

    def __call__(self, logits, labels):
        log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -jnp.mean((1 - jnp.exp(log_p)) ** self.gamma * log_p)
'''
FOCAL = """
import importlib.util

spec = importlib.util.spec_from_file_location('finetune', {finetune!r})
finetune = importlib.util.module_from_spec(spec)
spec.loader.exec_module(finetune)


def get_config(variant=''):
    config = finetune.get_config(variant)
    config.model.head.loss = dict(type='my_parts:FocalLoss', gamma=1.5)
    return config
"""
BACKBONE = {
    'type': 'my_parts:ResNet_CIFAR',
    'depth': 10,
    'base_channels': 4,
    'strides': (2, 2),
    'out_indices': (2,),
}


OWN = '--config.model.backbone.type=my_parts:ResNet_CIFAR'  # what a file names is named again


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits_dir: str) -> Path:
    """Where a user works: a module of parts, a config of their own, and a run that has ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'my_parts.py').write_text(PARTS)
    (tmp_path / 'focal.py').write_text(FOCAL.format(finetune=str(EVAL / 'finetune.py')))
    run, data = tmp_path / 'run', {'type': 'TFDS', 'name': 'embedded_digits'}
    data['data_dir'] = digits_dir
    described = {
        'model': {'type': 'SimCLR', 'backbone': BACKBONE},
        'data': data | {'split': 'train'},
        'test_data': data | {'split': 'test[:64]'},
        'canvas': 32,
        'channels': 3,
        'eval_view': {'type': 'CenterView', 'size': 16, 'resize': 16},
    }
    run.mkdir()
    (run / 'config.json').write_text(json.dumps({'config': described}))
    backbone = build('backbone', BACKBONE)
    images = jax.ShapeDtypeStruct((2, 16, 16, 3), 'float32')
    shapes = jax.eval_shape(lambda x: backbone.init(jax.random.key(0), x, train=False), images)
    parts = [{'backbone': part} for part in well_scaled(shapes).values()]
    save_backbone(run / 'backbone.safetensors', parts[0], parts[1], metadata={})
    return tmp_path


def test_a_run_is_fine_tuned_with_a_backbone_and_a_loss_of_one_s_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        '--config=focal.py',
        '--config.pretrained=run',
        OWN,
        '--config.data.split=train[:64]',
        '--config.batch_size=32',
        '--config.epochs=2',
        '--config.schedule.warmup_epochs=0.5',
        '--config.log_every=1',
        '--config.mesh.devices=1',
        '--workdir=tuned',
    ]
    assert main(arguments) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert 'backbone from run: ' in said
    assert 'accuracy 0.' in said
    rows = read_metrics(folder / 'tuned' / 'metrics.jsonl')
    assert 0 <= rows[-1]['test_accuracy'] <= rows[-1]['test_top5'] <= 1
    assert any('top1' in row and 'loss' in row for row in rows)
    stored = json.loads((folder / 'tuned' / 'config.json').read_text())['config']
    assert stored['model']['backbone'] == BACKBONE | {'strides': [2, 2], 'out_indices': [2]}
    assert stored['model']['head']['loss'] == {'type': 'my_parts:FocalLoss', 'gamma': 1.5}
    assert 'my_parts:FocalLoss' in (folder / 'tuned' / 'report.html').read_text()
    # A run that was fine-tuned can itself be taken up.
    taken = load('linear.py', '--config.pretrained=tuned', OWN)
    assert taken['model']['backbone']['depth'] == 10
    with refused("names 'my_parts:ResNet_CIFAR'", f'add {OWN}.'):
        load('linear.py', '--config.pretrained=tuned')


def test_the_command_line_goes_before_the_run_and_the_run_before_the_config(folder: Path) -> None:
    described = load(
        'linear.py',
        OWN,
        '--config.model.backbone.norm_eval=True',
        '--config.data.split=train[:10%]',
        f'--config.pretrained={folder / "run"}',
    )
    assert described['model']['backbone'] == BACKBONE | {'norm_eval': True}
    assert described['data']['split'] == 'train[:10%]'
    assert described['test_data']['split'] == 'test[:64]'
    assert described['views']['view']['size'] == described['eval_view']['size'] == 16
    experiment = config.experiment(described)
    assert experiment.pretrained == str(folder / 'run')
    algorithm: Any = experiment.algorithm
    assert algorithm.classes == 10
    names = set(experiment.state_shapes.params)
    assert names == {'backbone', 'head'}  # the neck has statistics alone


def test_without_a_run_a_small_network_is_trained_from_scratch() -> None:
    described = load('finetune.py')
    assert described['pretrained'] == ''
    assert described['model']['backbone']['depth'] == 10


def test_a_probe_of_a_random_network_is_refused() -> None:
    with refused('judge a random network', 'Add --config.pretrained=RUN'):
        config.experiment(load('linear.py'))


@pytest.mark.parametrize('name', ['linear.py', '../simclr.py'])
def test_weights_that_are_not_there_are_named_before_anything_is_made(
    name: str, tmp_path: Path, digits_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f'--config={EVAL / name}', f'--workdir={tmp_path / "out"}']
    arguments += [f'--config.{data}.data_dir={digits_dir}' for data in ('data', 'test_data')]
    assert main([*arguments, '--config.pretrained=runs/nothing']) == 2
    said = capsys.readouterr().err
    assert "config.pretrained='runs/nothing': there is no such file or directory" in said
    assert not (tmp_path / 'out').exists()


def test_a_wrong_run_is_refused(folder: Path) -> None:
    (folder / 'empty').mkdir()
    with refused("config.pretrained='empty'", 'not the directory of a run'):
        load('finetune.py', '--config.pretrained=empty')
