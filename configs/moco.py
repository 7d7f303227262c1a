"""MoCo v2 (Chen et al. 2020, arXiv 2003.04297) and v1 (He et al. 2020, arXiv 1911.05722).

    jssl train moco                # embedded digits; symmetric: both directions
    jssl train moco:cifar10        # v2, ResNet-18, 1000 epochs; cifar10-symmetric
    jssl train moco:imagenet       # v2, ResNet-50, 200 epochs; imagenet-v1

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
ImageNet: the reference's recipes, 67.5 % linear in its runs (v2), 61.0 % in OpenSelfSup's (v1).
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {f'imagenet{name}': functools.partial(imagenet, name) for name in ('', '-v2', '-v1')}
    for name, make in (('symmetric', embedded), ('cifar10-symmetric', cifar10)):
        real[name] = functools.partial(make, kind='SymmetricMoCo')
    return choose(variant, embedded=embedded, cifar10=cifar10, **real)


def embedded(kind: str = 'MoCo') -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    memory = dict(queue_len=128, momentum=0.98)  # a longer queue holds more of the same digits
    neck = recipes.mlp(64, 256, 64, with_last_bn_affine=False)
    return dict(
        model=model(recipes.edge_resnet(), neck, 0.1, **memory) | dict(type=kind),
        **recipes.digits(),
        views=policies.moco_v2(**recipes.digit_views()),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=64, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    neck = recipes.moco_v2_neck(images.width, images.width, 128)
    network = model(images.resnet(), neck, 0.2, queue_len=images.queue, momentum=0.99)
    return dict(model=network, views=policies.moco_v2(images.size), **images.run())


def cifar10(kind: str = 'MoCo') -> Config:
    """v2 on ResNet-18 with the 3x3 stem, batch norm over groups of 32, no blur."""
    backbone = recipes.cifar_resnet18(bn_group_size=32)
    neck = recipes.moco_v2_neck(512, 2048, 256)
    return dict(
        model=model(backbone, neck, 0.2, queue_len=32768, momentum=0.99) | dict(type=kind),
        **recipes.cifar10(),
        views=policies.moco_v2(size=32, blur=0.0),
        **recipes.cosine(recipes.sgd(0.3), batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def imagenet(name: str) -> Config:
    """v2 on ResNet-50; v1 has a linear neck, weaker augmentation and a rate that falls in steps."""
    linear = dict(type='LinearNeck', in_channels=2048, out_channels=128)
    neck = linear if name == '-v1' else recipes.moco_v2_neck(2048, 2048, 128)
    run: Config = dict(optimizer=recipes.sgd(0.03), batch_size=256, epochs=200)
    falls = recipes.steps(milestones=(120, 160), **run)
    return dict(
        model=model(recipes.resnet50(bn_group_size=32), neck, 0.07 if name == '-v1' else 0.2),
        **recipes.imagenet_in_bfloat16(),
        views=policies.moco_v1() if name == '-v1' else policies.moco_v2(),
        **(falls if name == '-v1' else recipes.cosine(by_epoch=True, **run)),
    )


def model(backbone: Config, neck: Config, temperature: float, **memory: float) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='MoCo',
        backbone=backbone,
        neck=neck,
        head=dict(type='ContrastiveHead', temperature=temperature),
        feat_dim=neck['out_channels'],
        **(dict(queue_len=65536, momentum=0.999) | memory),
    )
