"""DCL and DCL-W (Yeh et al. 2022, arXiv 2110.06848).

    jssl train dcl                # embedded digits
    jssl train dcl:cifar10        # ResNet-18, 1000 epochs
    jssl train dcl:imagenet       # ResNet-50, batch 256, 200 epochs; imagenet-weighted: DCL-W

Embedded: minutes on two CPU cores.
ImageNet: as SimCLR's, at the small batches that this loss is for; not run yet.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    weighted = {'imagenet-weighted': functools.partial(imagenet, sigma=0.5)}
    return choose(variant, embedded=embedded, cifar10=cifar10, imagenet=imagenet, **weighted)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        model=model(recipes.small_resnet(), (64, 128, 64), temperature=0.1),
        **recipes.digits(),
        views=policies.simclr(**recipes.digit_views()),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=64, epochs=20, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 256, 128), temperature=0.2)
    return dict(model=network, views=policies.simclr(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem; weak jitter and no blur, as SimCLR on CIFAR-10."""
    jitter = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    optimizer = recipes.sgd(0.3, weight_decay=1e-6)
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 512, 128), temperature=0.1),
        **recipes.cifar10(),
        views=policies.simclr(size=32, blur=0.0, **jitter),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def imagenet(sigma: float | None = None) -> Config:
    """ResNet-50 with SGD."""
    network = model(recipes.resnet50(), (2048, 2048, 128), temperature=0.1, sigma=sigma)
    return dict(
        model=network,
        **recipes.imagenet_in_bfloat16(),
        views=policies.simclr(size=224),
        **recipes.cosine(recipes.sgd(0.03), batch_size=256, epochs=200),
    )


def model(
    backbone: Config,
    widths: tuple[int, int, int],
    temperature: float,
    sigma: float | None = None,
) -> Config:
    """The algorithm with SimCLR's neck."""
    head = dict(type='ContrastiveHead', temperature=temperature)
    return dict(type='DCL', backbone=backbone, neck=recipes.mlp(*widths), head=head, sigma=sigma)
