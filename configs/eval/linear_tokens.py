"""The linear probe on tokens of a vision transformer, as DINO, DINOv2 and I-JEPA have it.

    jssl train eval/linear_tokens --config.pretrained=RUN
    jssl train eval/linear_tokens:imagenet-dino-small --config.pretrained=WEIGHTS

Without a variant the class token and the mean of the patches of any run that has both stand side by
side, after a batch norm. --config.model.backbone.type=LastBlocksViT takes those of its last four
blocks. RUN and WEIGHTS are what eval/linear takes.
"""

import functools
from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, policies

FROM_RUN = ('model.backbone', 'data', 'test_data', 'canvas', 'channels', 'eval_view')
BY_EPOCH = dict(type='WarmupCosine', by_epoch=True)
BY_STEP = dict(type='WarmupCosine')
WARM = dict(type='WarmupCosine', warmup_epochs=10.0)
sgd = functools.partial(recipes.sgd, weight_decay=0.0)
LARS = dict(type='LARS', momentum=0.9, lr=6.4)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    dino: Config = dict(batch_size=1024, epochs=100, optimizer=sgd(0.004), schedule=BY_EPOCH)
    dinov2: Config = dict(batch_size=1024, epochs=10, optimizer=sgd(0.004), schedule=BY_STEP)
    beside, last = dict(with_patch_mean=True), dict(last_blocks=1)
    maps = dict(patch_size=14, with_cls_token=False, fixed_positions=True)
    # Of I-JEPA no optimizer is published; this is MAE's.
    mae: Config = dict(batch_size=16384, epochs=90, optimizer=LARS, schedule=WARM)
    probes = {
        'dino-small': (vit('deit-small'), {}, dino),
        'dino-base': (vit('base', **last), beside, dino),
        'dinov2': (vit('large', layer_scale=1e-5), beside, dinov2),
        'dinov2-last': (vit('large', layer_scale=1e-5, **last), beside, dinov2),
        'ijepa': (vit('huge', **maps), dict(with_bn=True), mae),
        'ijepa-last': (vit('huge', **maps, **last), dict(with_bn=True), mae),
    }
    real = {f'imagenet-{name}': functools.partial(imagenet, *probes[name]) for name in probes}
    return choose(variant, any_run=any_run, **real)


def any_run() -> Config:
    """Whatever the run was."""
    backbone = dict(type='VisionTransformer', arch='deit-small', img_size=32, patch_size=4)
    return dict(
        pretrained='',
        inherit=FROM_RUN,
        model=model(backbone, dict(with_patch_mean=True, with_bn=True)),
        **recipes.digits(),
        views=policies.linear_probe(size=32, scale=(0.9, 1.0), flip=0.0),
        **recipes.cosine(sgd(0.1), batch_size=128, epochs=20, warmup_epochs=0.0),
    )


def imagenet(backbone: Config, neck: Config, run: Config) -> Config:
    """What all of them share: one crop, mirrored in half, and no weight decay."""
    return dict(
        pretrained='',
        model=model(backbone, neck),
        **recipes.imagenet(interpolation='bicubic'),
        views=policies.linear_probe(),
        **run,
    )


def vit(arch: str, **fields: Any) -> Config:
    """A backbone that gives its last four blocks unless told otherwise."""
    return dict(type='LastBlocksViT', arch=arch, interpolation='offset', **fields)


def model(backbone: Config, neck: Config) -> Config:
    """A classifier whose backbone is frozen; the data say how many classes there are."""
    head = dict(type='LinearClsHead')
    neck = dict(type='ConcatNeck', **neck)
    frozen = dict(type='ImageClassifier', frozen_backbone=True)
    return dict(**frozen, backbone=backbone, neck=neck, head=head)
