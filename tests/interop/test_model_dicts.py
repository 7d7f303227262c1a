"""The model dicts that MMSelfSup ships, algorithm by algorithm, in the forms that it gives them."""

import dataclasses
from typing import Any

import jax
import pytest

from jssl import algorithms, backbones
from jssl.algorithm import Run
from jssl.interop.mmcls import build_classifier
from jssl.interop.mmselfsup import build_model
from jssl.interop.model_dicts import model_config
from tests.checks import refused
from tests.interop.shipped import (
    BARLOW_TWINS,
    CAE,
    CROSS_ENTROPY,
    MASKFEAT,
    ODC,
    RELATIVE_LOC,
    SHIPPED,
    SIMMIM,
    SOURCE,
)

PREPROCESSOR = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), bgr_to_rgb=True)
TWO = ('BarlowTwins', 'BYOL', 'DenseCL', 'SimCLR', 'SimSiam')


@pytest.mark.parametrize('name', SHIPPED)
def test_it_is_built(name: str) -> None:
    described = SHIPPED[name] | dict(data_preprocessor=PREPROCESSOR)
    algorithm = build_model(described)
    wanted = {'PixMIM': 'MAE'}.get(name, name.partition(',')[0])
    assert type(algorithm).__name__ == wanted


VIEWS = {'SimMIM': [192], 'CAE': [224, 112], 'RelativeLoc': [64] * 9, 'SwAV': [224, 224, *[96] * 6]}


@pytest.mark.slow
@pytest.mark.parametrize('name', SHIPPED)
def test_its_parts_fit_together(name: str) -> None:
    model = dict(SHIPPED[name])
    if 'init_cfg' in model.get('target_generator', {}):  # whose weights are not at hand
        model['target_generator'] = {'type': model['target_generator']['type']}
    run = Run(samples=1281167, steps_per_epoch=1, epochs=1)
    algorithm = dataclasses.replace(build_model(model), run=run)
    sides = VIEWS.get(name.partition(',')[0], [224, 224] if name in TWO else [224])
    views = tuple(jax.ShapeDtypeStruct((2, side, side, 3), 'float32') for side in sides)
    params, _ = jax.eval_shape(algorithm.init, jax.random.key(0), {'views': views})
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) > 20_000_000


# What jssl has and MMSelfSup has not.
ELSEWHERE = {
    *('DCL', 'DINO', 'DINOv2', 'DINOv3', 'IBOT', 'IJEPA', 'ImageClassifier', 'LeJEPA', 'MSN'),
    *('NNCLR', 'SymmetricMoCo', 'TiCo', 'VICReg'),
}


def test_every_algorithm_of_the_package_is_among_them() -> None:
    ours = {key for key, value in vars(algorithms).items() if isinstance(value, type)}
    assert ours - ELSEWHERE == {name.partition(',')[0] for name in SHIPPED} - {'PixMIM'}
    assert ours >= ELSEWHERE


def test_what_a_dict_says_of_initial_weights_is_kept() -> None:
    assert build_model(RELATIVE_LOC).head.init_std == 0.005  # type: ignore[attr-defined]
    assert build_model(MASKFEAT).neck.init_std == 0.02  # type: ignore[attr-defined]
    assert build_model(BARLOW_TWINS).neck.kaiming_uniform  # type: ignore[attr-defined]
    assert build_model(ODC).head.init_std == 0.01  # type: ignore[attr-defined]


def test_a_tokenizer_waits_for_the_weights_that_are_named() -> None:
    generator: Any = build_model(CAE).target_generator  # type: ignore[attr-defined]
    assert generator.weights == 'dalle_encoder.safetensors'
    with refused('dalle_encoder.safetensors', SOURCE, 'jssl import dalle_encoder.pth'):
        generator.load({})
    local = model_config(
        dict(type='DALL-E', init_cfg=dict(type='Pretrained', checkpoint='a/b.pth'))
    )
    assert local['weights'] == 'a/b.safetensors'


def test_sizes_are_those_that_are_named() -> None:
    large: Any = build_model(SHIPPED['SimMIM, large'])
    assert (large.backbone.size.embed_dims, large.backbone.window_size) == (192, 12)
    assert large.backbone.pad_small_map
    other: Any = build_model(SHIPPED['SimMIM, by another loss'])
    assert other == build_model(SIMMIM)
    assert build_model(SHIPPED['PixMIM']).target_generator.radius == 40  # type: ignore[attr-defined]


def test_a_loss_beside_the_head_is_the_head_s() -> None:
    head = dict(type='ContrastiveHead', temperature=0.1)
    loss = dict(type='mmcls.CrossEntropyLoss', loss_weight=0.5)
    built: Any = build_model(SHIPPED['SimCLR'] | dict(head=head, loss=loss))
    assert built.head.loss_weight == 0.5


@pytest.mark.parametrize('type_', ['MAEViT', 'CAEViT', 'MaskFeatViT', 'MoCoV3ViT'])
def test_the_class_token_is_always_given(type_: str) -> None:
    config = model_config(dict(type=type_, arch='b', output_cls_token=True))
    assert getattr(backbones, type_)(arch='b') == getattr(backbones, type_)(arch=config['arch'])
    assert 'output_cls_token' not in config


@pytest.mark.parametrize(
    ('model', 'part', 'change', 'said'),
    [
        (ODC, 'neck', dict(with_avg_pool=False), 'ODCNeck with with_avg_pool=False'),
        (RELATIVE_LOC, 'neck', dict(with_avg_pool=False), 'RelativeLocNeck with with_avg_pool'),
        (ODC, 'head', dict(loss=CROSS_ENTROPY | dict(loss_weight=2.0)), 'loss_weight=2.0'),
        (ODC, 'head', dict(loss=CROSS_ENTROPY | dict(use_sigmoid=True)), 'use_sigmoid=True'),
        (ODC, 'head', dict(loss=dict(type='CosineSimilarityLoss')), 'config.model.head.loss'),
        (ODC, 'backbone', dict(norm_cfg=dict(type='GN', num_groups=32)), "'GN'"),
        (ODC, 'backbone', dict(norm_cfg=dict(type='BN', momentum=0.01)), 'momentum=0.01'),
        (ODC, 'backbone', dict(num_stages=3), 'num_stages=3'),
        (ODC, 'backbone', dict(norm_cfg='BN'), "norm_cfg='BN'"),
        (ODC, 'head', dict(init_cfg='Normal'), "init_cfg='Normal'"),
        (MASKFEAT, 'backbone', dict(arch=5), 'backbone.arch=5'),
        (SIMMIM, 'backbone', dict(stage_cfgs=[1]), 'stage_cfgs=[1]'),
        (SIMMIM, 'backbone', dict(stage_cfgs=dict(downsample_cfg=dict())), 'downsample_cfg'),
        (SIMMIM, 'head', dict(loss=dict(type='PixelReconstructionLoss', criterion='L2')), 'L2'),
        (MASKFEAT, 'head', dict(loss=dict(type='PixelReconstructionLoss', criterion='L1')), 'L1'),
        (SHIPPED['MoCoV3, base'], 'backbone', dict(output_cls_token=False), 'output_cls_token'),
    ],
)
def test_what_has_no_counterpart_is_named(
    model: dict[str, Any], part: str, change: dict[str, Any], said: str
) -> None:
    with refused(said):
        build_model(model | {part: model[part] | change})


def test_a_probe_s_initial_weights_are_kept_too() -> None:
    head = dict(
        type='mmcls.LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=CROSS_ENTROPY,
        init_cfg=[dict(type='TruncNormal', layer='Linear', std=2e-5)],
    )
    backbone = dict(type='mmcls.ResNet', depth=18, num_stages=4)
    neck = dict(type='GlobalAveragePooling')
    described = dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head)
    model: Any = build_classifier(described)
    assert model.head.init_std == 2e-5


def test_what_a_dict_leaves_out_means_what_it_means_there() -> None:
    neck = model_config(dict(type='CAENeck', decoder_depth=4))
    assert (neck['regressor_depth'], neck['decoder_depth']) == (6, 4)
    kinds = {'1.x': 'CAEViT', '0.x': 'CAEViT', 'mmpretrain': 'CAEPretrainViT'}
    found = {release: model_config(dict(type=kind), release) for release, kind in kinds.items()}
    assert {release: part['qkv_bias'] for release, part in found.items()} == {
        '1.x': True,
        '0.x': False,
        'mmpretrain': False,
    }
    assert found['1.x']['layer_scale'] is None
    network = model_config(dict(type='ResNet', out_indices=(2, 3)), 'mmpretrain')
    assert network == {'type': 'ResNet', 'out_indices': [3, 4], 'zero_init_residual': True}
