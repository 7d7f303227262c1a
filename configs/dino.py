"""DINO (Caron et al. 2021, arXiv 2104.14294).

    jssl train dino              # embedded digits
    jssl train dino:imagenet     # ViT-S/16, 800 epochs; -100e, -300e, -base, -resnet50

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the authors' recipes; their runs reach (kNN / linear) with ViT-S/16 69.3 / 74.0, 73.3 /
76.0 and 74.5 / 77.0 % after 100, 300 and 800 epochs, and with ViT-B/16 76.1 / 78.2 %.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

WARM: Config = dict(teacher_temperature=0.07, warmup_teacher_epochs=30)
RESNET: Config = dict(scale=(0.14, 1.0), local_scale=(0.05, 0.14))
RATE: Config = dict(warmup_epochs=10.0, warmup_factor=0.0, min_lr=1e-6)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    small, long = functools.partial(vit, 'deit-small', 384), dict(unit=False, **WARM)
    real: Config = {
        'imagenet': functools.partial(small, 800, **long),
        'imagenet-100e': functools.partial(small, 100),
        'imagenet-300e': functools.partial(small, 300, **long),
        'imagenet-base': functools.partial(vit, 'base', 768, 400, **WARM),
        'imagenet-resnet50': resnet50,
    }
    return choose(variant, embedded=embedded, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    local: Config = dict(local_size=16, local_scale=(0.35, 0.5), local_copies=1)
    head = dict(out_channels=128, hid_channels=128, bottleneck=64, with_bn=True)
    sharp = dict(teacher_temperature=0.02, warmup_teacher_temperature=0.02)  # 0.04 says too little
    return dict(
        model=model(recipes.edge_resnet(), 64, head, base_momentum=0.99, **sharp),
        **recipes.digits(),
        views=policies.dino(**local, **recipes.harsh_light(solarize=0.0)),
        **recipes.cosine(recipes.adamw(4e-3), batch_size=64, epochs=20, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    head = dict(out_channels=4096, with_bn=True)
    network = model(images.resnet(), images.width, head, base_momentum=0.99)
    views = policies.dino(images.size, images.scaled(96), local_copies=4, **RESNET)
    return dict(model=network, views=views, **images.run())


def vit(arch: str, width: int, epochs: int, unit: bool = True, **fields: float) -> Config:
    """ViT-S/16 or ViT-B/16 in bfloat16; `unit` keeps the columns of the last layer at length 1."""
    backbone = dict(type='DINOViT', arch=arch, drop_path_rate=0.1)
    return dict(
        model=model(backbone, width, dict(norm_last_layer=unit), **fields),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=policies.dino(),
        **recipes.cosine(recipes.adamw_of_dino(2e-3), batch_size=1024, epochs=epochs, **RATE),
    )


def resnet50() -> Config:
    """ResNet-50 with SGD, at 0.03 for 256 images."""
    return dict(
        model=model(recipes.resnet50(), 2048, {}),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=policies.dino(**RESNET),
        **recipes.cosine(recipes.sgd_of_dino(0.06), batch_size=512, epochs=100, **RATE),
    )


def model(backbone: Config, width: int, head: Config, **fields: float) -> Config:
    """The algorithm."""
    head = dict(type='DINOHead', in_channels=width, **head)
    return dict(type='DINO', backbone=backbone, head=head, **fields)
