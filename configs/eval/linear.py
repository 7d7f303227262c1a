"""The linear probe: a classifier of one layer on the frozen backbone of a run.

    jssl train eval/linear --config.pretrained=RUN
    jssl train eval/linear:imagenet-lars --config.pretrained=WEIGHTS

RUN is the --workdir of any run; without a variant its backbone, its data (labels are needed) and
its evaluation view are taken over, and --config.… sets fields on top. WEIGHTS may be a RUN, a
backbone.safetensors or the reference's weights; the `imagenet-…` variants are the reference's
recipes (docs/guides/evaluation.md says which method uses which), with the backbone that they name.
"""

import functools
from collections.abc import Callable
from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, policies

FROM_RUN = ('model.backbone', 'data', 'test_data', 'canvas', 'channels', 'eval_view')
BY_EPOCH = dict(type='WarmupCosine', by_epoch=True)
STEPS = dict(type='MultiStep', milestones=(60, 80))
WARM = dict(type='WarmupCosine', warmup_epochs=10.0)
sgd: Callable[..., Config] = functools.partial(dict, type='SGD', momentum=0.9)
lars: Callable[..., Config] = functools.partial(dict, type='LARS', momentum=0.9)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    pooled = model(recipes.resnet50(), neck=dict(type='GlobalAveragePooling'))
    vit = dict(type='VisionTransformer', arch='base')  # and its class token
    normalised = model(vit, neck=dict(type='ClsBatchNormNeck'))
    token = model(vit, head=dict(type='VisionTransformerClsHead', init_std=0.01))
    probes: dict[str, tuple[Any, ...]] = {
        'steplr': (pooled, 256, 100, sgd(lr=30.0), STEPS),
        'coslr': (pooled, 256, 100, sgd(lr=0.3, weight_decay=1e-6), BY_EPOCH),
        'vicreg': (pooled, 256, 100, sgd(lr=0.02, weight_decay=1e-6), BY_EPOCH),
        'lars': (pooled, 4096, 90, lars(lr=1.6), BY_EPOCH),
        'mocov3': (pooled, 1024, 90, sgd(lr=0.4), BY_EPOCH),
        'mocov3-vit': (token, 1024, 90, sgd(lr=12.0), BY_EPOCH),
        'mae': (normalised, 16384, 90, lars(lr=6.4), WARM),
    }
    real = {f'imagenet-{name}': functools.partial(imagenet, *probes[name]) for name in probes}
    return choose(variant, any_run=any_run, **{'imagenet-stages': stages}, **real)


def any_run() -> Config:
    """Whatever the run was: batch norm gives its features the scale that the rate is made for."""
    return dict(
        pretrained='',
        inherit=FROM_RUN,
        model=model(recipes.small_resnet(), neck=dict(type='ClsBatchNormNeck')),
        **recipes.digits(),
        views=policies.linear_probe(size=32, scale=(0.9, 1.0), flip=0.0),
        **recipes.cosine(sgd(lr=0.1), batch_size=128, epochs=20, warmup_epochs=0.0),
    )


def stages() -> Config:
    """A probe on the stem and on every stage of ResNet-50."""
    head = dict(type='MultiClsHead', in_indices=(0, 1, 2, 3, 4))
    network = model(recipes.resnet50(out_indices=(0, 1, 2, 3, 4)), head=head)
    views = policies.linear_probe(jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0)
    optimizer = sgd(lr=0.01, nesterov=True, weight_decay=1e-4)
    return imagenet(network, 256, 90, optimizer, STEPS) | dict(views=views)


def imagenet(
    network: Config, batch_size: int, epochs: int, optimizer: Config, schedule: Config
) -> Config:
    """What all ImageNet probes share: one crop, mirrored in half, without weight decay."""
    run = dict(batch_size=batch_size, epochs=epochs, optimizer=optimizer, schedule=schedule)
    views = policies.linear_probe()
    return dict(pretrained='', model=network, **recipes.imagenet(), views=views, **run)


def model(backbone: Config, **parts: Config) -> Config:
    """A classifier whose backbone is frozen; the data say how many classes there are."""
    head = parts.pop('head', dict(type='LinearClsHead'))
    return dict(type='ImageClassifier', frozen_backbone=True, backbone=backbone, head=head, **parts)
