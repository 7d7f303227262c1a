"""Whole configs come over with their numbers, or say by file and line what does not."""

import copy
from pathlib import Path
from typing import Any

import pytest

from jssl.interop.configs.carrying import Carried, carry, sentences
from tests.checks import refused
from tests.interop.configs import examples

VIEW: dict[str, Any] = {
    'type': 'View',
    'size': 32,
    'scale': (0.3, 1.0),
    'interpolation': 'bilinear',
    'flip': 0.5,
    'jitter': 0.8,
    'brightness': 0.4,
    'contrast': 0.4,
    'saturation': 0.4,
    'hue': 0.1,
    'gray': 0.2,
    'blur': 0.5,
    'sigma': (0.1, 2.0),
    'mean': (120.0, 110.0, 100.0),
    'std': (60.0, 55.0, 50.0),
}


def changed(folder: Path, text: str = '', name: str = 'moco_8xb4.py', **options: Any) -> Carried:
    """The example with more lines at its end."""
    return carry(examples.write(folder, name, examples.CHILD + text), **options)


def test_a_config_of_a_newer_release_keeps_its_numbers(tmp_path: Path) -> None:
    carried = changed(tmp_path)
    config = copy.deepcopy(carried.config)
    model = config.pop('model')
    assert model['backbone'] == {
        'type': 'ResNet',
        'depth': 10,
        'out_indices': [4],
        'base_channels': 4,
        'bn_group_size': 4,
    }
    assert (model['queue_len'], model['momentum']) == (64, 0.9)
    assert model['head'] == {'type': 'ContrastiveHead', 'temperature': 0.2}
    normal = {'mean': VIEW['mean'], 'std': VIEW['std']}
    eval_view = {'type': 'CenterView', 'size': 32, 'resize': 36, 'interpolation': 'bilinear'}
    keys = {'bias': {'decay_mult': 0.0}, 'bn': {'decay_mult': 0}}
    assert config == {
        'data': {
            'type': 'ImageList',
            'path': 'pictures/meta/train.txt',
            'root': 'pictures/train/',
        },
        'canvas': 512,
        'eval_view': eval_view | normal,
        'views': {'type': 'MultiView', 'copies': 2, 'view': VIEW},
        'batch_size': 32,
        'epochs': 10,
        'optimizer': {
            'type': 'SGD',
            'lr': 0.06,
            'weight_decay': 1e-4,
            'momentum': 0.9,
            'custom_keys': keys,
        },
        'schedule': {
            'type': 'WarmupCosine',
            'by_epoch': True,
            'warmup_epochs': 2,
            'warmup_factor': 1e-4,
        },
        'log_every': 5,
        'checkpoint': {'keep': 2},
    }
    assert not sentences(carried.notes, tmp_path)
    assert carried.about == 'MoCo, from moco_8xb4.py of MMSelfSup 1.x.'
    assert carried.comments['model'] == 'base/model.py:2'
    assert carried.comments['optimizer'] == 'moco_8xb4.py:5'
    assert carried.comments['batch_size'] == 'base/data.py:22: 4 images x 8 processes'


def test_a_config_of_an_older_release_keeps_its_numbers(tmp_path: Path) -> None:
    carried = carry(examples.write(tmp_path, 'byol_8xb4.py', examples.OLDER))
    config = carried.config
    assert (config['batch_size'], config['accumulate']) == (64, 2)
    assert config['model']['neck']['bn_group_size'] == 32  # of the accumulated batches each
    assert config['model']['head']['predictor']['bn_group_size'] == 32
    first, second = config['views']['first'], config['views']['second']
    assert (first['interpolation'], first['blur'], first['solarize']) == ('bicubic', 1.0, 0.0)
    assert (second['solarize'], second['flip'], second['jitter']) == (0.2, 0.0, 0.0)
    assert first['mean'] == (102.0, 127.5, 153.0)
    excluded = {'decay_mult': 0.0, 'lars_exclude': True}
    assert config['optimizer']['custom_keys'] == {'bn': excluded, 'bias': excluded}
    assert config['schedule'] == {
        'type': 'WarmupCosine',
        'min_lr': 0.0,
        'by_epoch': True,
        'overlap': True,
        'warmup_epochs': 2,
        'warmup_factor': 1e-4,
        'warmup_endpoint': False,
    }
    assert (config['dtype'], config['log_every'], config['checkpoint']['keep']) == (
        'bfloat16',
        50,
        3,
    )
    said = sentences(carried.notes, tmp_path / 'byol_8xb4.py')
    assert [sentence.split(': ')[1] for sentence in said] == ['byol_8xb4.py:15', 'byol_8xb4.py:5']
    assert 'bfloat16' in said[0]
    assert '2 batches are accumulated' in said[1]


def test_mmpretrain_counts_momenta_the_other_way_round(tmp_path: Path) -> None:
    network = 'backbone=dict(out_indices=[3])'  # stages are counted from 0 there
    text = f"default_scope = 'mmpretrain'\nmodel = dict(momentum=0.001, {network})\n"
    carried = changed(tmp_path, text)
    assert carried.config['model']['momentum'] == 0.999
    assert carried.about.endswith('of MMPretrain.')


def test_accelerated_configs_compute_in_bfloat16(tmp_path: Path) -> None:
    half = "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic',"
    amp = examples.CHILD.replace('optim_wrapper = dict(', half)
    carried = carry(examples.write(tmp_path, text=amp))
    assert carried.config['dtype'] == 'bfloat16'
    assert len(carried.notes.differs) == 1


def test_steps_and_seeds_are_carried(tmp_path: Path) -> None:
    text = """
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[3, 5], gamma=0.2)]
randomness = dict(seed=7, diff_rank_seed=True)
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=250)
"""
    carried = changed(tmp_path, text, images=1000)
    assert carried.config['schedule'] == {'type': 'MultiStep', 'milestones': (3, 5), 'gamma': 0.2}
    assert carried.config['seed'] == 7
    assert carried.config['epochs'] == 9  # of 31 steps
    assert '279 steps' in sentences(carried.notes, tmp_path)[0]


def test_schedules_of_accumulated_batches_count_iterations(tmp_path: Path) -> None:
    text = """
optim_wrapper = dict(accumulative_counts=4, optimizer=optimizer)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=1000)]
"""
    carried = changed(tmp_path, text, images=3200)  # 100 iterations of an epoch, 25 steps
    assert carried.config['schedule']['warmup_epochs'] == 0.5
    assert 'cosine_epochs' not in carried.config['schedule']
    with refused('warmup_epochs is 12.5'):  # an epoch of fewer images than a batch has one step
        changed(tmp_path, text, images=100)


def test_what_a_later_file_takes_back_is_gone(tmp_path: Path) -> None:
    older = carry(examples.write(tmp_path, 'byol_8xb4.py', examples.OLDER + 'fp16 = None\n'))
    assert 'dtype' not in older.config


def test_an_enabled_scale_of_the_rate_is_applied(tmp_path: Path) -> None:
    text = 'auto_scale_lr = dict(base_batch_size=64, enable=True)'
    carried = changed(tmp_path, text)
    assert carried.config['optimizer']['lr'] == 0.03
    assert 'multiplied by 32/64' in sentences(carried.notes, tmp_path)[0]


def test_processes_are_those_of_the_name_or_given(tmp_path: Path) -> None:
    assert changed(tmp_path, name='moco_2xb4.py').config['batch_size'] == 8
    assert changed(tmp_path, processes=3).config['batch_size'] == 12
    with refused('does not say how many processes', '--processes=8'):
        changed(tmp_path, name='mine.py')
    scaled = 'auto_scale_lr = dict(base_batch_size=16)'
    assert changed(tmp_path, scaled, name='mine.py').config['batch_size'] == 16


def test_what_has_no_counterpart_is_listed_by_line_and_may_be_left_out(tmp_path: Path) -> None:
    text = """
custom_hooks = [dict(type='EMAHook', momentum=4e-5)]
optim_wrapper = dict(optimizer=optimizer, clip_grad=dict(max_norm=3., norm_type=1),
                     paramwise_cfg=dict(bias_lr_mult=2.))
"""
    lines = ('moco_8xb4.py:10', 'moco_8xb4.py:11', 'moco_8xb4.py:12')
    with refused(*lines, "'EMAHook'", 'norm_type=1', 'bias_lr_mult=2.0', '3 of its settings') as e:
        changed(tmp_path, text)
    names = [word.removeprefix('--leave_out=').rstrip('.') for word in str(e.value).split()]
    options = [name for name, word in zip(names, str(e.value).split(), strict=True) if '--' in word]
    carried = changed(tmp_path, text, leave_out=options)
    assert carried.config['optimizer']['clip'] == 3.0
    assert [s for s in sentences(carried.notes, tmp_path) if s.startswith('Left out: ')]


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ("model = dict(type='MixMIM')", "moco_8xb4.py:9: the method 'MixMIM'"),
        ('model = 3', 'has no model=dict(type=...)'),
        ('model = dict(backbone=dict(detph=3))', 'moco_8xb4.py:9: config.model.backbone.detph'),
        ('model = dict(neck=dict(in_channels=7))', 'config.model.neck.in_channels=7'),
        ('model = dict(queue_len=-1)', 'queue_len=-1'),
        ('model = dict(head=[1])', 'moco_8xb4.py:9: config.model.head=[1] must be a dict'),
        ('optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=[]))', 'norm_decay_mult=[] must'),
        ("train_dataloader = dict(batch_size='4')", "batch_size='4' must be a whole number"),
        ('train_dataloader = 3', 'config.train_dataloader=3 must be a dict'),
        ('train_cfg = dict(max_epochs=0)', 'max_epochs=0 must be a whole number'),
        ('custom_hooks = 3', 'custom_hooks=3 must be a list of dicts'),
        ("optimizer = dict(lr='fast')\noptim_wrapper = dict(optimizer=optimizer)", "lr='fast'"),
        ("optim_wrapper = dict(optimizer=dict(type='Lion'))", "type='Lion'"),
        ("optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD'))", 'lr=None must be'),
        ('optim_wrapper = dict(accumulative_counts=0)', 'accumulative_counts=0 must be'),
        ("sync_bn = 'torch'", "norm_cfg=dict(type='SyncBN')"),
        ('momentum_config = {}\nlr_config = {}\ndata = {}\ntrain_dataloader = 3', 'must be a dict'),
        (
            "train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset'))",
            "the data set 'ConcatDataset' has no pipeline",
        ),
        ('optim_wrapper = dict(optimizer=dict(lr=-1.0))', 'config.optimizer.lr=-1.0'),
        ("data = 1\ntrain_dataloader = dict(dataset=dict(type='COCO'))", "type='COCO'"),
        ("train_dataloader = dict(sampler=dict(type='InfiniteSampler'))", "'InfiniteSampler'"),
        ('train_dataloader = dict(dataset=dict(pipeline=3))', 'must be a list'),
        ('param_scheduler = 3', 'must be a list of dicts'),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    with refused(said) as error:
        changed(tmp_path, text)
    assert '\n' not in str(error.value)
