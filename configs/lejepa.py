"""LeJEPA (Balestriero, LeCun 2025, arXiv 2511.08544).

    jssl train lejepa                 # embedded digits
    jssl train lejepa:cifar10         # ResNet-18, 400 epochs
    jssl train lejepa:imagenet        # ViT-L/14, 100 epochs; imagenet-resnet50

Embedded: minutes on a CPU, see docs/reference/results.md. ImageNet: the paper's; 79.5 % in transfer
(ViT-L).
"""

from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

# All crops are coloured alike, by the operations and the odds of DINO together.
COLORS: Config = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, blur=0.5, solarize=0.2)
LENGTH: Config = dict(batch_size=512, epochs=100, warmup_epochs=10.0, min_lr=5e-7)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real: Config = {'imagenet-resnet50': imagenet_resnet50}
    return choose(variant, embedded=embedded, cifar10=cifar10, imagenet=imagenet, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        model=model(recipes.edge_resnet(), (64, 256, 64), weight=0.05),
        **recipes.digits(),
        views=policies.simclr(**recipes.digit_views(jitter=0.8, brightness=0.6, contrast=0.6)),
        **recipes.cosine(recipes.adamw(4e-3), batch_size=128, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 1024, 64), weight=0.05)
    return dict(model=network, views=policies.simclr(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem and four views; no such recipe has been published."""
    length: Config = dict(batch_size=256, epochs=400, warmup_epochs=10.0)
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 2048, 64), global_views=4),
        **recipes.cifar10(),
        views=policies.simclr(size=32, **(COLORS | dict(blur=0.0))) | dict(copies=4),
        **recipes.cosine(recipes.adamw(2e-3, weight_decay=5e-4), **length),
    )


def imagenet() -> Config:
    """ViT-L/14 on two crops of 224 pixels and six of 98."""
    backbone: Config = dict(type='VisionTransformer', arch='large', patch_size=14)
    return of_crops(model(backbone, (1024, 2048, 64), slices=1024), weight_decay=5e-2)


def imagenet_resnet50() -> Config:
    """ResNet-50 on the same crops."""
    return of_crops(model(recipes.resnet50(), (2048, 2048, 64), slices=1024), weight_decay=5e-4)


def of_crops(network: Config, weight_decay: float) -> Config:
    """The run on ImageNet, whose rate ends at a thousandth."""
    scales: Config = dict(scale=(0.3, 1.0), small_scale=(0.05, 0.3), small_size=98)
    return dict(
        model=network,
        **recipes.imagenet_in_bfloat16(),
        views=policies.swav(**scales, **COLORS),
        **recipes.cosine(recipes.adamw(5e-4, weight_decay=weight_decay), **LENGTH),
    )


def model(backbone: Config, widths: tuple[int, int, int], **fields: Any) -> Config:
    """The algorithm with three layers after the backbone."""
    neck = recipes.mlp(*widths, num_layers=3, with_bias=True, with_last_bn=False)
    return dict(type='LeJEPA', backbone=backbone, neck=neck, feat_dim=widths[2], **fields)
