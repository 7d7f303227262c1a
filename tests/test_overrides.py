"""Fields of a config that the command line sets."""

import copy
import dataclasses
import io
import random
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from jssl.algorithm import Algorithm
from jssl.cli.train import parse
from jssl.kinds import Neck
from jssl.main import main
from jssl.overrides import apply, split
from tests import tiny
from tests.checks import refused
from tests.conftest import ROOT

CONFIG: dict[str, Any] = {
    'model': {
        'type': 'SimCLR',
        'backbone': {'type': 'ResNet', 'depth': 10, 'cifar_stem': True},
        'neck': {'type': 'NonLinearNeck', 'in_channels': 4, 'out_channels': 4, 'num_layers': 2},
        'head': {'type': 'ContrastiveHead', 'temperature': 0.1},
    },
    'data': {'type': 'TFDS', 'name': 'embedded_digits', 'split': 'train'},
    'test_data': {'type': 'TFDS', 'name': 'embedded_digits', 'split': 'test'},
    'views': {'type': 'MultiView', 'view': {'type': 'View', 'size': 8}},
    'eval_view': {'type': 'CenterView', 'size': 8, 'resize': 8},
    'optimizer': {'type': 'AdamW', 'lr': 0.1, 'weight_decay': 0.05, 'betas': (0.9, 0.95)},
    'schedule': {'type': 'WarmupCosine', 'warmup_epochs': 2.0},
    'canvas': 32,
    'batch_size': 16,
    'epochs': 2,
    'evaluate': {'every_epochs': 4, 'neighbors': 20, 'max_train': 20_000},
}


def after(*arguments: str) -> dict[str, Any]:
    """`CONFIG` with the overrides; --config. in front of each is left out."""
    config = copy.deepcopy(CONFIG)
    overrides, rest = split([f'--config.{argument}' for argument in arguments])
    assert not rest
    apply(config, overrides)
    return config


def changed(section: str, *arguments: str) -> Any:
    """One section of `after`; nothing outside it has changed."""
    config = after(*arguments)
    assert {k: v for k, v in config.items() if k != section} == {
        k: v for k, v in CONFIG.items() if k != section
    }
    return config.get(section)


SGD = {'type': 'SGD', 'lr': 0.1, 'weight_decay': 0.05}


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['optimizer.type=SGD'], SGD),
        (['optimizer.type=SGD', 'optimizer.momentum=0.9'], SGD | {'momentum': 0.9}),
        (['optimizer.momentum=0.9', 'optimizer.type=SGD'], SGD | {'momentum': 0.9}),
        (['optimizer.type=AdamW'], CONFIG['optimizer']),
        (
            ['optimizer.type=optax:lion', 'optimizer.learning_rate=1e-4', 'optimizer.b1=0.95'],
            {'type': 'optax:lion', 'learning_rate': 1e-4, 'weight_decay': 0.05, 'b1': 0.95},
        ),
        (['optimizer.clip=1'], CONFIG['optimizer'] | {'clip': 1.0}),
        (['optimizer.clip=None'], CONFIG['optimizer'] | {'clip': None}),
        (['optimizer.betas=0.8,0.9'], CONFIG['optimizer'] | {'betas': (0.8, 0.9)}),
        (['optimizer.betas=[0.8, 0.9]'], CONFIG['optimizer'] | {'betas': (0.8, 0.9)}),
        (['optimizer=dict(type="SGD", lr=1)'], {'type': 'SGD', 'lr': 1}),
        (['optimizer.lr=1', 'optimizer={"type": "SGD"}'], {'type': 'SGD', 'lr': 1.0}),
        (
            ['optimizer.custom_keys.bias.decay_mult=0.0', 'optimizer.custom_keys.bn.lr_mult=2'],
            CONFIG['optimizer']
            | {'custom_keys': {'bias': {'decay_mult': 0.0}, 'bn': {'lr_mult': 2}}},
        ),
        (
            ["optimizer.custom_keys={'.bias': {'decay_mult': 0.0}}"],
            CONFIG['optimizer'] | {'custom_keys': {'.bias': {'decay_mult': 0.0}}},
        ),
    ],
)
def test_the_optimizer(arguments: list[str], expected: dict[str, Any]) -> None:
    assert changed('optimizer', *arguments) == expected


@pytest.mark.parametrize(
    ('section', 'arguments', 'expected'),
    [
        ('sampler', ['sampler.type=WithReplacement'], {'type': 'WithReplacement'}),
        (
            'sampler',
            ['sampler.num_classes=4', 'sampler.type=ClassBalanced'],
            {'type': 'ClassBalanced', 'num_classes': 4},
        ),
        (
            'probe_data',
            ['probe_data.type=TFDS', 'probe_data.name=cifar10', 'probe_data.split=train'],
            {'type': 'TFDS', 'name': 'cifar10', 'split': 'train'},
        ),
        ('test_data', ['test_data=None'], None),
        ('schedule', ['schedule=None'], None),
        (
            'schedule',
            ['schedule.type=optax:linear_schedule', 'schedule.init_value=1'],
            {'type': 'optax:linear_schedule', 'init_value': 1},
        ),
        (
            'test_data',
            ['test_data.type=Folder', 'test_data.path=a=b'],
            {'type': 'Folder', 'path': 'a=b'},
        ),
        ('test_data', ["test_data=dict(type='Folder', path='x')"], {'type': 'Folder', 'path': 'x'}),
        ('data', ['data.split=train[:50%]'], CONFIG['data'] | {'split': 'train[:50%]'}),
        ('data', ['data.name=2024'], CONFIG['data'] | {'name': '2024'}),
        ('pretrained', ['pretrained=runs/first'], 'runs/first'),
        ('pretrained', ['pretrained='], ''),
        ('layout', ['layout=dino'], 'dino'),
        ('inherit', ["inherit=['data']"], ('data',)),
        ('epochs', ['epochs=5', 'epochs=6'], 6),
        ('evaluate', ['evaluate.neighbors=5'], CONFIG['evaluate'] | {'neighbors': 5}),
        ('evaluate', ['evaluate=dict(neighbors=5)'], CONFIG['evaluate'] | {'neighbors': 5}),
        ('checkpoint', ['checkpoint.keep=5'], {'keep': 5}),
        ('resident', ['resident=no'], 'no'),
        ('bad_samples', ['bad_samples=0'], 0.0),
        (
            'schedule',
            ['schedule.milestones=(5,10)', 'schedule.type=MultiStep'],
            {'type': 'MultiStep', 'warmup_epochs': 2.0, 'milestones': (5, 10)},
        ),
    ],
)
def test_other_sections(section: str, arguments: list[str], expected: Any) -> None:
    assert changed(section, *arguments) == expected


def test_types_are_set_from_the_outside_in() -> None:
    arguments = (
        'model.head.predictor.hid_channels=8',
        'model.head.predictor.type=NonLinearNeck',
        'model.head.type=LatentPredictHead',
        'model.backbone.arch=small',
        'model.backbone.type=VisionTransformer',
        'model.type=BYOL',
        'model.backbone.patch_size=4',
    )
    rng = random.Random(0)
    for _ in range(5):
        model = changed('model', *rng.sample(arguments, len(arguments)))
        assert model == {
            'type': 'BYOL',
            'backbone': {'type': 'VisionTransformer', 'arch': 'small', 'patch_size': 4},
            'neck': CONFIG['model']['neck'],
            'head': {
                'type': 'LatentPredictHead',
                'predictor': {'type': 'NonLinearNeck', 'hid_channels': 8},
            },
        }


@pytest.mark.parametrize('text', ['true', 'True', '1'])
def test_switches(text: str) -> None:
    assert changed('model', f'model.backbone.remat={text}')['backbone']['remat'] is True
    assert changed('model', 'model.backbone.cifar_stem=0')['backbone']['cifar_stem'] is False


@pytest.mark.parametrize(
    ('argument', 'words'),
    [
        ('lr=3', ['config.lr', 'Did you mean --config.optimizer.lr=3?']),
        ('depth=3', ['Did you mean --config.model.backbone.depth=3?']),
        ('name=x', ['--config.data.name=x or --config.test_data.name=x']),
        ('keep=3', ['--config.checkpoint.keep=3']),
        ('split=train[:10]', ["'--config.data.split=train[:10]'"]),
        ('epohcs=3', ["Did you mean 'epochs'?"]),
        ('modle.type=SimCLR', ["Did you mean 'model'?"]),
        ('type=SimCLR', ['--config.model.type=SimCLR']),
        ('optimizer.depth=3', ['not a field of AdamW', '--config.model.backbone.depth=3']),
        ('optimizer.learning_rate=3', ["Did you mean 'lr'?"]),
        (
            'optimizer.momentum=3',
            ['SGD, LARS, TrustRatioLARS have it; add --config.optimizer.type=SGD'],
        ),
        ('data.path=x', ['Folder, HuggingFace, ', 'have it; add --config.data.type=Folder']),
        ('backbone.depth=50', ['Did you mean --config.model.backbone.depth=50?']),
        ('backbone=ResNet', ['Did you mean --config.model.backbone.type=ResNet?']),
        ('remat=True', ['Did you mean --config.model.backbone.remat=True?']),
        ('model.backbone.type=MLP', ["config.model.backbone.type='MLP' is not known"]),
        (
            'model.backbone.type=MoCoV2Neck',
            ['It is a neck', 'name jssl.necks:MoCoV2Neck', 'Valid names: '],
        ),
        ('optimizer.lrr=3', ['config.optimizer.lrr', 'AdamW', "Did you mean 'lr'?"]),
        ('model.nekc.type=MoCoV2Neck', ['config.model.nekc', "Did you mean 'neck'?"]),
        ('evaluate.neighbours=3', ['config.evaluate.neighbours', "'neighbors'"]),
        ('epochs.x=3', ['config.epochs=2 has no fields']),
        ('model.backbone.depth.x=3', ['config.model.backbone.depth=10 has no fields']),
        ('sampler.num_classes=3', ['add --config.sampler.type=NAME', 'ClassBalanced']),
        ('test_data=None', []),
        ('optimizer.type=Adam', ["config.optimizer.type='Adam'", "'AdamW'", 'AdamW, LARS, SGD, ']),
        ('optimizer.type=', ["config.optimizer.type=''", 'Valid names: AdamW, LARS, SGD, ']),
        ('data=dict(type=Folder)', ['config.data=dict(type=Folder) cannot be read', 'quotes']),
        ('data=[', ['config.data=[ cannot be read']),
        ('=3', ['names no field', '--config.optimizer.lr=0.1']),
        ('model..type=3', ['names no field']),
        ('epochs', ['--config.epochs has no value; write --config.epochs=VALUE']),
    ],
)
def test_wrong_arguments_name_the_right_one(argument: str, words: list[str]) -> None:
    arguments = [argument] if words else [argument, 'test_data.split=train']
    with refused(*(words or ['add --config.test_data.type=NAME'])):
        after(*arguments)


@pytest.mark.parametrize(
    ('argument', 'words'),
    [
        (['--config.epochs', '3'], 'write --config.epochs=3.'),
        (['--noconfig.model.backbone.remat'], 'write --config.model.backbone.remat=False.'),
        (['--epochs=5'], 'Did you mean --config.epochs=5?'),
        (['--optimizer.lr=5'], 'Did you mean --config.optimizer.lr=5?'),
        (['--lr=5'], 'Did you mean --config.optimizer.lr=5?'),
        (['--lr', '5'], 'Did you mean --config.optimizer.lr=VALUE?'),
        (['epochs=5'], 'Did you mean --config.epochs=5?'),
        (['--wrokdir=x'], 'Did you mean --workdir=x?'),
        (['--pretrained=x'], 'Did you mean --config.pretrained=x?'),
        (['--confg.epochs=5'], '--config.field=value'),
    ],
)
def test_arguments_that_are_no_fields(argument: list[str], words: str) -> None:
    with refused(argument[0], words):
        parse([tiny.CONFIG, *argument])


def test_a_single_dash_is_as_good() -> None:
    assert parse([tiny.CONFIG, '-config.epochs=3']).config['epochs'] == 3


FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'configs').rglob('*.py'))
PARTS = (
    *('config', 'model', 'backbone', 'head', 'neck', 'predictor', 'data', 'test_data', 'sampler'),
    *('optimizer', 'schedule', 'views', 'view', 'evaluate', 'checkpoint', 'type', 'lr', 'depth'),
    *('split', 'arch', 'custom_keys', 'epochs', 'pretrained', 'inherit', 'name', 'size', 'x', ''),
)
VALUES = (
    *('3', '-1', '0.5', '1e999', 'nan', 'None', 'True', '', 'ResNet', 'SGD', 'Folder', 'os:system'),
    *(
        'no_such_module:Net',
        'subprocess:Popen',
        '(1, 2)',
        '[',
        'dict(',
        "dict(type='ResNet')",
        '{}',
    ),
    *("dict(type='SGD', lr=0.1)", "{'a': {'b': None}}", 'train[:1%]', 'a=b', '\ud800', '\n', ','),
    *('jssl.backbones:ResNet', '9' * 50, "dict(type='Folder', path='/no')", 'SimCLR', 'CenterView'),
)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(400))
def test_odd_command_lines_end_in_a_paragraph_or_a_config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, digits_dir: str, seed: int
) -> None:
    draw = random.Random(seed)
    (tmp_path / 'taken').touch()  # a command line that is right ends there
    folders = [f'--config.{data}.data_dir={digits_dir}' for data in ('data', 'test_data')]
    arguments = [
        f'--config={ROOT / draw.choice(FILES)}',
        f'--workdir={tmp_path / "taken"}',
        *folders,
    ]
    for _ in range(draw.randint(1, 4)):
        path = '.'.join(draw.choices(PARTS, k=draw.randint(0, 3)))
        dashes = draw.choice(['--', '--', '--', '-', '', '--no'])
        front = draw.choice(['config.', 'config.', 'config.', 'config', ''])
        value = draw.choice(['=', '=', '=', '']) + draw.choice(VALUES)
        arguments.insert(draw.randint(0, len(arguments)), f'{dashes}{front}{path}{value}')
    written = io.BytesIO()
    monkeypatch.setattr('sys.stderr', io.TextIOWrapper(written, errors='backslashreplace'))
    assert main(arguments) == 2, shlex.join(arguments)
    sys.stderr.flush()
    said = written.getvalue().decode()
    assert said.startswith('jssl: '), said
    assert said.strip().count('\n') == 0, said


@dataclasses.dataclass(frozen=True)
class Several(Algorithm):
    """Parts in a list."""

    projectors: tuple[Neck, ...] = ()
    sizes: tuple[int, ...] = (1, 2)


def test_what_is_in_a_list_goes_by_its_number() -> None:
    neck = {'type': 'LinearNeck', 'in_channels': 4, 'out_channels': 4}
    config = copy.deepcopy(CONFIG)
    config['model'] = {'type': f'{__name__}:Several', 'projectors': (neck, neck), 'sizes': (3, 4)}

    def changed(*arguments: str) -> Any:
        model = copy.deepcopy(config)
        apply(model, split([f'--config.model.{argument}' for argument in arguments])[0])
        return model['model']

    wider = neck | {'out_channels': 8}
    assert changed('projectors.1.out_channels=8')['projectors'] == [neck, wider]
    whole = ("projectors=[dict(type='LinearNeck', in_channels=4)]", 'projectors.0.out_channels=8')
    assert changed(*reversed(whole))['projectors'] == changed(*whole)['projectors'] == [wider]
    mixed = changed('projectors.0.type=MoCoV2Neck', 'projectors.0.hid_channels=2', 'sizes.0=5')
    assert mixed['projectors'][0] == neck | {'type': 'MoCoV2Neck', 'hid_channels': 2}
    assert (mixed['projectors'][1], mixed['sizes']) == (neck, [5, 4])
    with refused('config.model.projectors.2 is not', 'Valid names: 0, 1.'):
        changed('projectors.2.out_channels=8')
    with refused('config.model.projectors.0.out_chanels', "Did you mean 'out_channels'?"):
        changed('projectors.0.out_chanels=8')
    with refused("config.model.projectors.0.type='MoCoV2Nekc'", "Did you mean 'MoCoV2Neck'?"):
        changed('projectors.0.type=MoCoV2Nekc')
    assert neck['out_channels'] == 4


def test_a_path_of_any_depth_is_walked_once() -> None:
    path = '.'.join(['custom_keys', *'abcdefghijklmnopqrstuvwxyz'])
    assert changed('optimizer', f'optimizer.{path}=1')['custom_keys']['a']['b']['c']
