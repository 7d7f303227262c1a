"""The linear probe: a classifier of one layer on the frozen backbone of a run.

    jssl train eval/linear --config.pretrained=RUN
    jssl train eval/linear:imagenet-lars --config.pretrained=WEIGHTS

RUN is the --workdir of any run; without a variant its backbone, its data (labels are needed) and
its evaluation view are taken over, and --config.… sets fields on top. WEIGHTS may be a RUN, a
backbone.safetensors or the reference's weights; the `imagenet-…` variants are the reference's
recipes (docs/evaluation.md says which method uses which), with the backbone that they name.
"""

from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, policies

FROM_RUN = ('model.backbone', 'data', 'test_data', 'canvas', 'channels', 'eval_view')
BY_EPOCH = dict(type='WarmupCosine', by_epoch=True)
STEPS = dict(type='MultiStep', milestones=(60, 80))


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {
        'steplr': lambda: resnet(256, 100, sgd(30.0), STEPS),
        'coslr': lambda: resnet(256, 100, sgd(0.3, weight_decay=1e-6), BY_EPOCH),
        'lars': lambda: resnet(4096, 90, dict(type='LARS', lr=1.6, momentum=0.9), BY_EPOCH),
        'mocov3': lambda: resnet(1024, 90, sgd(0.4), BY_EPOCH),
        'mocov3-vit': mocov3_vit,
        'mae': mae,
        'stages': stages,
    }
    experiments = {f'imagenet-{name}': describe for name, describe in real.items()}
    return choose(variant, any_run=any_run, **experiments)


def any_run() -> Config:
    """Whatever the run was: batch norm gives its features the scale that the rate is made for."""
    return dict(
        pretrained='',
        inherit=FROM_RUN,
        model=model(recipes.small_resnet(), neck=dict(type='ClsBatchNormNeck')),
        **recipes.digits(),
        views=policies.linear_probe(size=32, scale=(0.9, 1.0), flip=0.0),
        **recipes.cosine(sgd(0.1), batch_size=128, epochs=20, warmup_epochs=0.0),
    )


def resnet(batch_size: int, epochs: int, optimizer: Config, schedule: Config) -> Config:
    """ResNet-50 and its average-pooled features."""
    return imagenet(
        model(recipes.resnet50(), neck=dict(type='GlobalAveragePooling')),
        batch_size=batch_size,
        epochs=epochs,
        optimizer=optimizer,
        schedule=schedule,
    )


def mocov3_vit() -> Config:
    """MoCo v3's ViT-B/16 and its class token."""
    head = dict(type='VisionTransformerClsHead', init_std=0.01)
    network = model(dict(type='VisionTransformer', arch='base'), head=head)
    return imagenet(network, batch_size=1024, epochs=90, optimizer=sgd(12.0), schedule=BY_EPOCH)


def mae() -> Config:
    """MAE's ViT-B/16, its class token after a batch norm."""
    backbone = dict(type='VisionTransformer', arch='base')
    return imagenet(
        model(backbone, neck=dict(type='ClsBatchNormNeck')),
        **recipes.cosine(
            dict(type='LARS', lr=6.4, momentum=0.9), batch_size=16384, epochs=90, warmup_epochs=10.0
        ),
    )


def stages() -> Config:
    """A probe on the stem and on every stage of ResNet-50."""
    head = dict(type='MultiClsHead', in_indices=(0, 1, 2, 3, 4))
    optimizer = sgd(0.01, nesterov=True, weight_decay=1e-4)
    views = policies.linear_probe(jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0)
    described = imagenet(
        model(recipes.resnet50(out_indices=(0, 1, 2, 3, 4)), head=head),
        batch_size=256,
        epochs=90,
        optimizer=optimizer,
        schedule=STEPS,
    )
    return described | dict(views=views)


def imagenet(network: Config, **run: Any) -> Config:
    """What all ImageNet probes share: one crop, mirrored in half, without weight decay."""
    views = policies.linear_probe()
    return dict(pretrained='', model=network, **recipes.imagenet(), views=views, **run)


def sgd(lr: float, **fields: Any) -> Config:
    """SGD with momentum."""
    return dict(type='SGD', lr=lr, momentum=0.9, **fields)


def model(backbone: Config, **parts: Config) -> Config:
    """A classifier whose backbone is frozen; the data say how many classes there are."""
    head = parts.pop('head', dict(type='LinearClsHead'))
    return dict(type='ImageClassifier', frozen_backbone=True, backbone=backbone, head=head, **parts)
