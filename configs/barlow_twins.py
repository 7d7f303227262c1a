"""Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230).

    jssl train barlow_twins                  # embedded digits
    jssl train barlow_twins:cifar10          # ResNet-18, 1000 epochs
    jssl train barlow_twins:imagenet         # ResNet-50, 300 epochs; imagenet-100e, imagenet-1000e

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
CIFAR-10: 92.1 % linear has been published for such a recipe (solo-learn).
ImageNet: the reference's recipe of batch 2048; its own run reaches 71.8 % linear. Here all images
are correlated at once, where its `imagenet-100e` accumulates eight batches.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.optim.optimizers import NO_DECAY_NO_ADAPT
from jssl.recipes import Config, OwnImages, policies

# The reference scales the rate of norms and biases where the original scales the loss.
SLOW = {key: group | dict(lr_mult=0.024) for key, group in NO_DECAY_NO_ADAPT.items()}


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {f'imagenet-{n}e': functools.partial(imagenet, n) for n in (100, 300, 1000)}
    real['imagenet'] = real['imagenet-300e']
    return choose(variant, embedded=embedded, cifar10=cifar10, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    light = dict(jitter=0.8, brightness=0.6, contrast=0.6, solarize=0.0)
    return dict(
        model=model(recipes.edge_resnet(), in_channels=64, width=256, off_diagonal_weight=0.03),
        **recipes.digits(),
        views=policies.byol(**recipes.digit_views(**light)),
        **recipes.cosine(recipes.adamw(1e-2), batch_size=128, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), in_channels=images.width, width=512, off_diagonal_weight=0.02)
    return dict(model=network, views=policies.byol(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem, without blur."""
    optimizer = recipes.lars(0.3, weight_decay=1e-4, eta=0.02)
    return dict(
        model=model(recipes.cifar_resnet18(), in_channels=512, width=2048, loss_weight=0.1),
        **recipes.cifar10(),
        views=policies.byol(size=32, blur=0.0),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def imagenet(epochs: int) -> Config:
    """ResNet-50 with LARS; each of 8 processes normalised its 256 images and averaged 1/8 of C."""
    backbone = recipes.resnet50(zero_init_residual=True)
    optimizer = recipes.lars(1.6, weight_decay=1e-6, custom_keys=SLOW)
    rate = dict(warmup_epochs=10.0, warmup_factor=1.6e-4, min_lr=0.0016)
    return dict(
        model=model(backbone, in_channels=2048, width=8192, bn_group_size=256, loss_weight=1 / 8),
        **recipes.imagenet_in_bfloat16(),
        views=policies.byol(size=224),
        **recipes.cosine(optimizer, batch_size=2048, epochs=epochs, **rate),
    )


def model(backbone: Config, *, in_channels: int, width: int, **head: float) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    neck = dict(num_layers=3, **recipes.widths(in_channels, width, width))
    return dict(
        type='BarlowTwins',
        backbone=backbone,
        neck=dict(type='NonLinearNeck', with_last_bn=False, kaiming_uniform=True, **neck),
        head=dict(type='LatentCrossCorrelationHead', in_channels=width, **head),
    )
