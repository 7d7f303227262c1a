"""MoCo v3 (Chen, Xie, He 2021, arXiv 2104.02057).

    jssl train mocov3                       # embedded digits
    jssl train mocov3:cifar10               # ResNet-18, 1000 epochs
    jssl train mocov3:imagenet              # ResNet-50, 300 epochs; imagenet-vit-base

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
CIFAR-10: 93.1 % linear has been published for such a recipe (solo-learn).
ImageNet: the reference's recipes; its own runs reach 69.6, 72.8 and 74.4 % linear with ResNet-50
after 100, 300 and 800 epochs, 73.6 and 76.9 % with ViT-S and ViT-B, 83.7 % fine-tuned with ViT-L.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies
from jssl.recipes.mocov3 import NORMALIZED, WIDTHS, parts, resnet50_parts, vit_parts

# Epochs -> learning rate, weight decay, momentum of the first step.
RESNET50 = {100: (9.6, 1e-6, 0.99), 300: (4.8, 1e-6, 0.99), 800: (4.8, 1.5e-6, 0.996)}


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {f'imagenet-resnet50-{n}e': functools.partial(resnet50, n) for n in RESNET50}
    real['imagenet'] = real['imagenet-resnet50-300e']
    real |= {f'imagenet-vit-{arch}': functools.partial(vit, arch) for arch in WIDTHS}
    return choose(variant, embedded=embedded, cifar10=cifar10, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    settings: Config = dict(base_momentum=0.9, predict=NORMALIZED)
    return dict(
        model=dict(type='MoCoV3', **parts(recipes.edge_resnet(), (64, 128, 64), 0.1, **settings)),
        **recipes.digits(),
        views=policies.moco_v3(**recipes.digit_views(solarize=0.0)),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=64, epochs=27, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = dict(type='MoCoV3', **parts(images.resnet(), (images.width, 1024, 256), 0.2))
    return dict(model=network, views=policies.moco_v3(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem, after solo-learn, whose LARS also bounds the local rate by 1."""
    optimizer = recipes.lars(0.3, weight_decay=1e-6, eta=0.02)
    return dict(
        model=dict(type='MoCoV3', **parts(recipes.cifar_resnet18(), (512, 4096, 256), 0.2)),
        **recipes.cifar10(),
        views=policies.moco_v3(size=32, scale=(0.08, 1.0)),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def resnet50(epochs: int) -> Config:
    """ResNet-50 in bfloat16, with LARS."""
    lr, decay, momentum = RESNET50[epochs]
    optimizer = recipes.lars(lr, weight_decay=decay)
    return dict(
        model=dict(type='MoCoV3', **resnet50_parts(momentum)),
        **recipes.imagenet_in_bfloat16(),
        views=policies.moco_v3(),
        **recipes.cosine(optimizer, batch_size=4096, epochs=epochs, warmup_epochs=10.0),
    )


def vit(arch: str) -> Config:
    """ViT-S/16, B/16 or L/16 in bfloat16 with AdamW."""
    optimizer = recipes.adamw(2.4e-3, weight_decay=0.1, clip=5.0 if arch == 'large' else None)
    return dict(
        model=dict(type='MoCoV3', **vit_parts(arch)),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=policies.moco_v3(scale=(0.08, 1.0)),
        **recipes.cosine(optimizer, batch_size=4096, epochs=300, warmup_epochs=40.0),
    )
