"""ImageNet recipes of methods that MMSelfSup lacks, number by number against ALGORITHMS2."""

import math
from typing import Any

import pytest

from jssl.cli.train import parse
from jssl.components import build
from tests.conftest import ROOT

STEPS = 10  # of an epoch, here


def load(name: str) -> dict[str, Any]:
    return parse([f'--config={ROOT / "configs" / name}']).config


def rates(described: dict[str, Any], *steps: int) -> list[float]:
    """The learning rate at these steps."""
    schedule, lr = build('schedule', described['schedule']), described['optimizer']['lr']
    rate = schedule(lr, steps_per_epoch=STEPS, epochs=described['epochs'])
    return [float(rate(step)) for step in steps]


def decays(described: dict[str, Any]) -> list[float]:
    """The weight decay at the first and at the last step."""
    optimizer = build('optimizer', described['optimizer'])
    length = {'steps_per_epoch': STEPS, 'epochs': described['epochs']}
    decay = optimizer.decay_schedule(optimizer.weight_decay, **length)
    return [float(decay(0)), float(decay(STEPS * described['epochs'] - 1))]


def crops(views: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    """Size, scale, blur and solarize of the views of these names."""
    made = build('view', views)
    fields = ('size', 'scale', 'blur', 'solarize')
    return [tuple(getattr(getattr(made, name), field) for field in fields) for name in names]


DINO_CROPS = [
    (224, (0.4, 1.0), 1.0, 0.0),
    (224, (0.4, 1.0), 0.1, 0.2),
    (96, (0.05, 0.4), 0.5, 0.0),
]


@pytest.mark.parametrize(
    ('variant', 'epochs', 'warm', 'fixed'),
    [
        ('imagenet', 800, 30, False),
        ('imagenet-300e', 300, 30, False),
        ('imagenet-100e', 100, 0, True),
        ('imagenet-base', 400, 30, True),
    ],
)
def test_dino(variant: str, epochs: int, warm: int, fixed: bool) -> None:
    described = load(f'dino.py:{variant}')
    model, optimizer = build('model', described['model']), described['optimizer']
    assert (described['batch_size'], described['epochs']) == (1024, epochs)
    assert rates(described, 0, 99) == pytest.approx([0, 5e-4 * 1024 / 256])
    assert rates(described, STEPS * epochs - 1)[0] == pytest.approx(1e-6, rel=0.02)
    assert decays(described) == pytest.approx([0.04, 0.4], rel=1e-3)
    assert (optimizer['clip'], optimizer['clip_by']) == (3.0, 'tensor')
    assert optimizer['custom_keys'] == {'last_layer': {'frozen_epochs': 1.0}}
    assert optimizer['vectors'] == {'decay_mult': 0.0}
    assert (model.base_momentum, model.center_momentum, model.temperature) == (0.996, 0.9, 0.1)
    assert (model.warmup_teacher_temperature, model.warmup_teacher_epochs) == (0.04, warm)
    assert model.teacher_temperature == (0.07 if warm else 0.04)
    head = model.head
    assert (head.out_channels, head.hid_channels, head.bottleneck) == (65_536, 2048, 256)
    assert (head.num_layers, head.with_bn, head.norm_last_layer) == (3, False, fixed)
    assert (model.backbone.patch_size, model.backbone.drop_path_rate) == (16, 0.1)
    assert crops(described['views'], 'first', 'second', 'local') == DINO_CROPS
    assert described['views']['local_copies'] == 8
    view = described['eval_view']
    assert (view['size'], view['resize'], view['interpolation']) == (224, 256, 'bicubic')


def test_dino_of_a_residual_network() -> None:
    """The authors' command: SGD at 0.03 for 256 images, on 8 devices with 64 each."""
    described = load('dino.py:imagenet-resnet50')
    optimizer = described['optimizer']
    assert (described['batch_size'], described['epochs']) == (512, 100)
    assert (optimizer['type'], optimizer['lr'], optimizer['momentum']) == ('SGD', 0.06, 0.9)
    assert decays(described) == [1e-4, 1e-4]
    assert (optimizer['clip'], optimizer['clip_by']) == (3.0, 'tensor')
    assert optimizer['vectors'] == {'decay_mult': 0.0}
    assert not described['model']['head'].get('with_bn', False)
    assert crops(described['views'], 'first', 'second', 'local') == [
        (224, (0.14, 1.0), 1.0, 0.0),
        (224, (0.14, 1.0), 0.1, 0.2),
        (96, (0.05, 0.14), 0.5, 0.0),
    ]


@pytest.mark.parametrize(
    ('variant', 'epochs', 'fixed'), [('imagenet', 800, False), ('imagenet-base', 400, True)]
)
def test_ibot(variant: str, epochs: int, fixed: bool) -> None:
    described = load(f'ibot.py:{variant}')
    model, optimizer = build('model', described['model']), described['optimizer']
    assert (described['batch_size'], described['epochs']) == (1024, epochs)
    assert rates(described, 0, 99) == pytest.approx([0, 5e-4 * 1024 / 256])
    assert decays(described) == pytest.approx([0.04, 0.4], rel=1e-3)
    assert (optimizer['clip'], optimizer['clip_by']) == (3.0, 'tensor')
    assert optimizer['custom_keys'] == {'last_layer': {'frozen_epochs': 1.0}}
    assert (model.warmup_teacher_temperature, model.teacher_temperature) == (0.04, 0.07)
    assert (model.warmup_patch_temperature, model.patch_temperature) == (0.04, 0.07)
    assert (model.warmup_teacher_epochs, model.mask_start_epoch) == (30, 0)
    assert (model.base_momentum, model.center_momentum, model.temperature) == (0.996, 0.9, 0.1)
    assert (model.class_weight, model.patch_weight, model.mask_shape) == (1, 1, 'blocks')
    assert (model.mask_ratios, model.mask_spreads) == ((0.0, 0.3), (0.0, 0.2))
    head = model.head
    assert (head.out_channels, head.patch_channels, head.norm_last_layer) == (8192, None, fixed)
    assert (head.hid_channels, head.bottleneck, head.num_layers) == (2048, 256, 3)
    assert (model.backbone.patch_size, model.backbone.drop_path_rate) == (16, 0.1)
    assert crops(described['views'], 'first', 'second', 'local') == [
        (224, (0.25, 1.0), 1.0, 0.0),
        (224, (0.25, 1.0), 0.1, 0.2),
        (96, (0.05, 0.25), 0.5, 0.0),
    ]
    assert described['views']['local_copies'] == 10


@pytest.mark.parametrize(
    ('variant', 'blur'), [('imagenet', (0.0, 0.9)), ('imagenet-paper-blur', (1.0, 0.1))]
)
def test_dinov2(variant: str, blur: tuple[float, float]) -> None:
    described = load(f'dinov2.py:{variant}')
    model, optimizer = build('model', described['model']), described['optimizer']
    assert (described['batch_size'], described['epochs']) == (2048, 100)
    assert rates(described, 0, 99) == pytest.approx([0, 4e-3 * 2**0.5], rel=1e-3)
    assert decays(described) == pytest.approx([0.04, 0.4], rel=1e-2)
    assert (optimizer['clip'], optimizer['clip_by']) == (3.0, 'part')
    assert optimizer['layer_decay_rate'] == 0.9
    assert optimizer['custom_keys'] == {
        'last_layer': {'zero_lr_epochs': 1.0},
        'patch_embed': {'lr_mult': 0.2},
    }
    temperatures = model.warmup_teacher_temperature, model.teacher_temperature
    assert (*temperatures, model.warmup_teacher_epochs) == (0.04, 0.07, 30)
    assert (model.base_momentum, model.centering, model.koleo_weight) == (0.992, 'mean', 0.1)
    assert (model.mask_share, model.mask_ratios, model.patch_head) == (0.5, (0.1, 0.5), None)
    head, backbone = model.head, model.backbone
    assert (head.out_channels, head.bottleneck, head.norm_last_layer) == (65_536, 256, False)
    assert (backbone.drop_path_rate, backbone.drop_subsets) == (0.3, True)
    assert (backbone.layer_scale, backbone.patch_size, backbone.ffn) == (1e-5, 16, 'mlp')
    assert crops(described['views'], 'first', 'second', 'local') == [
        (224, (0.32, 1.0), blur[0], 0.0),
        (224, (0.32, 1.0), blur[1], 0.2),
        (96, (0.05, 0.32), 0.5, 0.0),
    ]


def test_dinov3() -> None:
    described = load('dinov3.py:imagenet')
    model, optimizer = build('model', described['model']), described['optimizer']
    assert (described['batch_size'], described['epochs']) == (2048, 100)
    assert rates(described, 0, 99) == pytest.approx([0, 4e-3 * 2**0.5], rel=1e-3)
    assert decays(described) == pytest.approx([0.04, 0.4], rel=1e-2)
    assert (optimizer['clip'], optimizer['clip_by']) == (3.0, 'part')
    assert optimizer['layer_decay_rate'] == 0.9
    assert (model.warmup_teacher_temperature, model.teacher_temperature) == (0.04, 0.07)
    assert (model.warmup_teacher_epochs, model.temperature) == (30, 0.1)
    assert (model.base_momentum, model.last_momentum, model.koleo_weight) == (0.992, 1.0, 0.1)
    assert (model.koleo_group_size, model.koleo_neighbors, model.gram) == (None, 1, None)
    assert (model.mask_share, model.mask_ratios, model.roll_masks) == (0.5, (0.1, 0.5), False)
    for head in (model.head, model.patch_head):
        assert (head.out_channels, head.hid_channels, head.bottleneck) == (65_536, 2048, 256)
        assert not head.weight_norm
    backbone = model.backbone
    assert (backbone.arch, backbone.img_size, backbone.patch_size) == ('large', 224, 16)
    assert (backbone.drop_path_rate, backbone.drop_subsets) == (0.3, True)
    assert (backbone.layer_scale, backbone.ffn, backbone.qkv_bias) == (1e-5, 'mlp', True)
    assert (backbone.num_registers, backbone.mask_k_bias) == (0, False)
    assert (backbone.norm_epsilon, backbone.local_cls_norm) == (1e-6, False)
    assert dict(backbone.rotary) == {}
    assert crops(described['views'], 'first', 'second', 'local') == [
        (224, (0.32, 1.0), 0.0, 0.0),
        (224, (0.32, 1.0), 0.9, 0.2),
        (96, (0.05, 0.32), 0.5, 0.0),
    ]


def test_dinov3_gram_phase_has_a_teacher_and_crops_of_its_own() -> None:
    described = load('dinov3.py:gram')
    model, views = build('model', described['model']), build('view', described['views'])
    assert (model.gram.weight, model.gram.copy_epochs) == (2.0, (5.0,))
    assert model.base_momentum == model.last_momentum == 0.994
    assert views.plain_size == 2 * views.first.size
    assert rates(described, STEPS, STEPS * described['epochs'] - 1) == [3e-4, 3e-4]


@pytest.mark.parametrize(('variant', 'size', 'patch'), [('', 224, 14), ('-448', 448, 16)])
def test_ijepa(variant: str, size: int, patch: int) -> None:
    described = load(f'ijepa.py:imagenet{variant}')
    model, optimizer = build('model', described['model']), described['optimizer']
    assert (described['batch_size'], described['epochs']) == (2048, 300)
    first = 2e-4 + 8e-4 / 400  # steps count from 1
    assert rates(described, 0, 399, 2999) == pytest.approx([first, 1e-3, 1e-6], rel=1e-2)
    assert decays(described) == pytest.approx([0.04, 0.4], rel=1e-3)
    assert optimizer.get('clip') is None
    assert optimizer['vectors'] == {'decay_mult': 0.0}
    assert (model.base_momentum, model.backbone.arch) == (0.996, 'huge')
    assert (model.backbone.img_size, model.backbone.patch_size) == (size, patch)
    neck, masks = model.neck, model.masks
    assert (neck.predictor_embed_dims, neck.depth) == (384, 12)
    assert (masks.targets, masks.target_scale, masks.target_aspect) == (4, (0.15, 0.2), (0.75, 1.5))
    assert masks.context_scale == (0.85, 1.0)
    (view,) = crops(described['views'], 'view')
    assert view == (size, (0.3, 1.0), 0.0, 0.0)
    made = build('view', described['views']).view
    assert (made.interpolation, made.flip, made.jitter, made.gray) == ('bilinear', 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ('variant', 'epochs', 'batch', 'lr'), [('', 1000, 2048, 1.6), ('-100e', 100, 512, 0.6)]
)
def test_vicreg(variant: str, epochs: int, batch: int, lr: float) -> None:
    described = load(f'vicreg.py:imagenet{variant}')
    model, optimizer = described['model'], described['optimizer']
    assert (described['batch_size'], described['epochs']) == (batch, epochs)
    ends = rates(described, 0, 100, STEPS * epochs - 1)
    assert ends == pytest.approx([0, lr, lr / 1000], rel=1e-2)
    assert (optimizer['type'], optimizer['momentum']) == ('TrustRatioLARS', 0.9)
    assert optimizer['weight_decay'] == 1e-6
    assert optimizer['vectors'] == {'decay_mult': 0.0, 'lars_exclude': True}
    neck = build('neck', model['neck'])
    assert (neck.hid_channels, neck.out_channels, neck.num_layers) == (8192, 8192, 3)
    assert (neck.with_bias, neck.with_last_bias, neck.with_last_bn) == (True, False, False)
    assert model['backbone']['zero_init_residual']
    pair = [(224, (0.08, 1.0), 1.0, 0.0), (224, (0.08, 1.0), 0.1, 0.2)]
    assert crops(described['views'], 'first', 'second') == pair


@pytest.mark.parametrize(('variant', 'decay'), [('imagenet', 5e-2), ('imagenet-resnet50', 5e-4)])
def test_lejepa(variant: str, decay: float) -> None:
    described = load(f'lejepa.py:{variant}')
    model, optimizer = build('model', described['model']), described['optimizer']
    assert (optimizer['type'], optimizer['lr'], optimizer['weight_decay']) == ('AdamW', 5e-4, decay)
    last = rates(described, STEPS * described['epochs'] - 1)
    assert last == pytest.approx([5e-7], rel=1e-2)
    assert (described['epochs'], described['dtype']) == (100, 'bfloat16')
    assert (model.weight, model.global_views, model.slices) == (0.02, 2, 1024)
    assert (model.neck.hid_channels, model.neck.num_layers) == (2048, 3)
    assert crops(described['views'], 'large', 'small') == [
        (224, (0.3, 1.0), 0.5, 0.2),
        (98, (0.05, 0.3), 0.5, 0.2),
    ]
    assert [described['views'][f'{size}_copies'] for size in ('large', 'small')] == [2, 6]


def test_msn() -> None:
    """Of the authors' repository: a run of four fifths of its schedules, which count from 1."""
    described = load('msn.py:imagenet')
    model, optimizer = build('model', described['model']), described['optimizer']
    assert (described['batch_size'], described['epochs']) == (1024, 800)
    first = 2e-4 + 8e-4 / 150
    assert rates(described, 0, 149) == pytest.approx([first, 1e-3])
    share = (800 - 15) / (1000 - 15)
    end = 1e-6 + (1e-3 - 1e-6) * (1 + math.cos(math.pi * share)) / 2
    assert rates(described, 7999) == pytest.approx([end], rel=1e-6)
    assert decays(described) == pytest.approx([0.04, 0.3656], rel=1e-4)
    assert (optimizer['clip'], optimizer.get('clip_by', 'all')) == (3.0, 'all')
    assert optimizer['custom_keys'] == {'last_layer': {'decay_mult': 0.0}}
    assert optimizer['vectors'] == {'decay_mult': 0.0}
    head = model.head
    assert (head.out_channels, head.hid_channels, head.bottleneck) == (1024, 2048, 256)
    assert (head.num_layers, head.with_bn) == (3, True)
    assert (model.mask_ratio, model.temperature, model.sharpening) == (0.15, 0.1, 0.25)
    assert (model.sinkhorn_iterations, model.prior_weight, model.base_momentum) == (3, 1.0, 0.996)
    assert (model.backbone.arch, model.backbone.patch_size) == ('deit-small', 16)
    assert crops(described['views'], 'large', 'small') == [
        (224, (0.3, 1.0), 0.5, 0.0),
        (96, (0.05, 0.3), 0.5, 0.0),
    ]
    assert [described['views'][f'{size}_copies'] for size in ('large', 'small')] == [2, 10]


def test_nnclr() -> None:
    described = load('nnclr.py:imagenet')
    model = build('model', described['model'])
    assert (described['batch_size'], described['epochs']) == (4096, 1000)
    assert (model.queue_len, model.feat_dim, model.head.temperature) == (98_304, 256, 0.1)


@pytest.mark.parametrize(('one', 'both'), [('', 'symmetric'), ('cifar10', 'cifar10-symmetric')])
def test_moco_in_both_directions_is_moco_otherwise(one: str, both: str) -> None:
    plain, symmetric = (load(f'moco.py:{name}') for name in (one, both))
    assert symmetric == plain | {'model': plain['model'] | {'type': 'SymmetricMoCo'}}
