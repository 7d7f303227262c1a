"""The model dicts that MMSelfSup ships with release 1.0, in the forms that it gives them."""

from typing import Any

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
