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

PREPROCESSOR = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), bgr_to_rgb=True)
CROSS_ENTROPY = dict(type='mmcls.CrossEntropyLoss')
SOURCE = 'https://download.openmmlab.com/mmselfsup/1.x/target_generator_ckpt/'
RGB = dict(in_channels=3, out_indices=[4])


def resnet(norm: str = 'SyncBN', **fields: Any) -> dict[str, Any]:
    return dict(type='ResNet', depth=50, **RGB, norm_cfg=dict(type=norm)) | fields


def mlp(*widths: int, **fields: Any) -> dict[str, Any]:
    names = ('in_channels', 'hid_channels', 'out_channels')
    return dict(type='NonLinearNeck', **dict(zip(names, widths, strict=True))) | fields


def classifier(**fields: Any) -> dict[str, Any]:
    return dict(type='ClsHead', loss=CROSS_ENTROPY, with_avg_pool=False) | fields


def contrast(temperature: float) -> dict[str, Any]:
    return dict(type='ContrastiveHead', loss=CROSS_ENTROPY, temperature=temperature)


NO_LAST = dict(with_last_bn=False, with_avg_pool=False)
PLAIN = dict(with_bias=False, with_last_bn=True, with_last_bn_affine=False, with_last_bias=False)
QUEUE = dict(queue_len=65536, feat_dim=128, momentum=0.999)
ODC = dict(
    type='ODC',
    backbone=resnet(),
    neck=dict(
        type='ODCNeck', in_channels=2048, hid_channels=512, out_channels=256, with_avg_pool=True
    ),
    head=classifier(in_channels=256, num_classes=10000),
    memory_bank=dict(
        type='ODCMemory',
        length=1281167,
        feat_dim=256,
        momentum=0.5,
        num_classes=10000,
        min_cluster=20,
        debug=False,
    ),
)
RELATIVE_LOC = dict(
    type='RelativeLoc',
    backbone=resnet('BN'),
    neck=dict(type='RelativeLocNeck', in_channels=2048, out_channels=4096, with_avg_pool=True),
    head=classifier(
        in_channels=4096,
        num_classes=8,
        init_cfg=[
            dict(type='Normal', std=0.005, layer='Linear'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ],
    ),
)
MASKFEAT = dict(
    type='MaskFeat',
    backbone=dict(type='MaskFeatViT', arch='b', patch_size=16),
    neck=dict(
        type='LinearNeck',
        in_channels=768,
        out_channels=108,
        with_avg_pool=False,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0),
    ),
    head=dict(
        type='MaskFeatPretrainHead', loss=dict(type='PixelReconstructionLoss', criterion='L2')
    ),
    target_generator=dict(type='HOGGenerator', nbins=9, pool=8, gaussian_window=16),
)


def simmim(arch: str, width: int, window: int, loss: dict[str, Any], **fields: Any) -> Any:
    return dict(
        type='SimMIM',
        backbone=dict(
            type='SimMIMSwinTransformer',
            arch=arch,
            img_size=192,
            stage_cfgs=dict(block_cfgs=dict(window_size=window)),
            **fields,
        ),
        neck=dict(type='SimMIMNeck', in_channels=width * 2**3, encoder_stride=32),
        head=dict(type='SimMIMHead', patch_size=4, loss=loss),
    )


MASKED_L1 = dict(type='SimMIMReconstructionLoss', encoder_in_channels=3)
SIMMIM = simmim('B', 128, 6, MASKED_L1)
DEEPCLUSTER = dict(
    type='DeepCluster',
    backbone=resnet('BN'),
    neck=dict(type='AvgPool2dNeck'),
    head=classifier(in_channels=2048, num_classes=10000),
)
CAE = dict(
    type='CAE',
    backbone=dict(type='CAEViT', arch='b', patch_size=16, init_values=0.1, qkv_bias=False),
    neck=dict(
        type='CAENeck',
        patch_size=16,
        embed_dims=768,
        num_heads=12,
        regressor_depth=4,
        decoder_depth=4,
        mlp_ratio=4,
        init_values=0.1,
    ),
    head=dict(type='CAEHead', loss=dict(type='CAELoss', lambd=2)),
    target_generator=dict(
        type='DALL-E',
        init_cfg=dict(type='Pretrained', checkpoint=f'{SOURCE}dalle_encoder.pth'),
    ),
    base_momentum=0.0,
)
BARLOW_TWINS = dict(
    type='BarlowTwins',
    backbone=resnet(zero_init_residual=True),
    neck=mlp(
        2048,
        8192,
        8192,
        num_layers=3,
        with_last_bn=False,
        with_last_bn_affine=False,
        with_avg_pool=True,
        init_cfg=dict(type='Kaiming', distribution='uniform', layer=['Linear']),
    ),
    head=dict(
        type='LatentCrossCorrelationHead',
        in_channels=8192,
        loss=dict(type='CrossCorrelationLoss'),
    ),
)
BYOL = dict(
    type='BYOL',
    base_momentum=0.99,
    backbone=resnet(),
    neck=mlp(2048, 4096, 256, num_layers=2, with_bias=True, with_last_bn=False),
    head=dict(
        type='LatentPredictHead',
        predictor=mlp(256, 4096, 256, num_layers=2, with_bias=True, **NO_LAST),
        loss=dict(type='CosineSimilarityLoss'),
    ),
)
SIMSIAM = dict(
    type='SimSiam',
    backbone=resnet(zero_init_residual=True),
    neck=mlp(2048, 2048, 2048, num_layers=3, with_last_bn_affine=False, with_avg_pool=True),
    head=dict(
        type='LatentPredictHead',
        loss=dict(type='CosineSimilarityLoss'),
        predictor=mlp(2048, 512, 2048, with_last_bias=True, **NO_LAST),
    ),
)


def mae(arch: str, width: int, patch: int = 16, **decoder: int) -> dict[str, Any]:
    return dict(
        type='MAE',
        backbone=dict(type='MAEViT', arch=arch, patch_size=patch, mask_ratio=0.75),
        neck=dict(
            type='MAEPretrainDecoder',
            patch_size=patch,
            in_chans=3,
            embed_dim=width,
            decoder_embed_dim=512,
            decoder_depth=8,
            decoder_num_heads=16,
            mlp_ratio=4.0,
            **decoder,
        ),
        head=dict(
            type='MAEPretrainHead',
            norm_pix=True,
            patch_size=patch,
            loss=dict(type='MAEReconstructionLoss'),
        ),
        init_cfg=[
            dict(type='Xavier', distribution='uniform', layer='Linear'),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    )


def mocov3(backbone: dict[str, Any], width: int, layers: int, pooled: bool, heat: float) -> Any:
    neck = dict(num_layers=layers, with_avg_pool=pooled, vit_backbone=not pooled)
    return dict(
        type='MoCoV3',
        base_momentum=0.99,
        backbone=backbone,
        neck=mlp(width, 4096, 256, **PLAIN, **neck),
        head=dict(
            type='MoCoV3Head',
            predictor=mlp(256, 4096, 256, num_layers=2, with_avg_pool=False, **PLAIN),
            loss=dict(type='mmcls.CrossEntropyLoss', loss_weight=2 * heat),
            temperature=heat,
        ),
    )


def mocov3_vit(arch: str, width: int) -> Any:
    sizes = dict(img_size=224, patch_size=16, stop_grad_conv1=True, output_cls_token=True)
    return mocov3(dict(type='MoCoV3ViT', arch=arch, **sizes), width, 3, False, 0.2)


LINEAR = dict(type='LinearNeck', in_channels=2048, out_channels=128, with_avg_pool=True)
MOCO_NECK = dict(type='MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128)
DENSE_NECK = MOCO_NECK | dict(type='DenseCLNeck', num_grid=None)
SWAV_LOSS = dict(type='SwAVLoss', feat_dim=128, epsilon=0.05, temperature=0.1, num_crops=[2, 6])
SHIPPED: dict[str, dict[str, Any]] = {
    'BarlowTwins': BARLOW_TWINS,
    'BYOL': BYOL,
    'CAE': CAE,
    'DeepCluster': DEEPCLUSTER,
    'DeepCluster, Sobel': DEEPCLUSTER
    | dict(backbone=dict(type='ResNetSobel', depth=50, out_indices=[4], norm_cfg=dict(type='BN'))),
    'DenseCL': dict(
        type='DenseCL',
        **QUEUE,
        loss_lambda=0.5,
        backbone=resnet('BN'),
        neck=DENSE_NECK,
        head=contrast(0.2),
    ),
    'MAE, base': mae('b', 768),
    'MAE, large': mae('l', 1024),
    'MAE, huge': mae('h', 1280, 14, num_patches=256),
    'MaskFeat': MASKFEAT,
    'MoCo, v1': dict(type='MoCo', **QUEUE, backbone=resnet('BN'), neck=LINEAR, head=contrast(0.07)),
    'MoCo, v2': dict(
        type='MoCo',
        **QUEUE,
        backbone=resnet('BN'),
        neck=MOCO_NECK | dict(with_avg_pool=True),
        head=contrast(0.2),
    ),
    'MoCoV3, ResNet': mocov3(resnet(), 2048, 2, True, 1.0),
    'MoCoV3, small': mocov3_vit('mocov3-small', 384),
    'MoCoV3, base': mocov3_vit('base', 768),
    'MoCoV3, large': mocov3_vit('large', 1024),
    'NPID': dict(
        type='NPID',
        neg_num=65536,
        backbone=resnet(),
        neck=LINEAR,
        head=contrast(0.07),
        memory_bank=dict(type='SimpleMemory', length=1281167, feat_dim=128, momentum=0.5),
    ),
    'ODC': ODC,
    'PixMIM': mae('b', 768)
    | dict(
        type='PixMIM',
        target_generator=dict(type='LowFreqTargetGenerator', radius=40, img_size=224),
    ),
    'RelativeLoc': RELATIVE_LOC,
    'RotationPred': dict(
        type='RotationPred',
        backbone=resnet(),
        head=classifier(with_avg_pool=True, in_channels=2048, num_classes=4),
    ),
    'SimCLR': dict(
        type='SimCLR',
        backbone=resnet(zero_init_residual=True),
        neck=mlp(2048, 2048, 128, num_layers=2, with_avg_pool=True),
        head=contrast(0.1),
    ),
    'SimMIM, base': SIMMIM,
    'SimMIM, large': simmim('L', 192, 12, MASKED_L1, pad_small_map=True),
    'SimMIM, by another loss': simmim(
        'B', 128, 6, dict(type='PixelReconstructionLoss', criterion='L1', channel=3)
    ),
    'SimSiam': SIMSIAM,
    'SwAV': dict(
        type='SwAV',
        backbone=resnet(zero_init_residual=True),
        neck=MOCO_NECK | dict(type='SwAVNeck', with_avg_pool=True),
        head=dict(type='SwAVHead', loss=SWAV_LOSS),
    ),
}


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


def test_every_algorithm_of_the_package_is_among_them() -> None:
    ours = {key for key, value in vars(algorithms).items() if isinstance(value, type)}
    assert ours - {'ImageClassifier'} == {name.partition(',')[0] for name in SHIPPED} - {'PixMIM'}


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
    model = build_classifier(dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head))
    assert model.head.init_std == 2e-5
