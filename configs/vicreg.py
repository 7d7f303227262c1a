"""VICReg (Bardes, Ponce, LeCun 2022, arXiv 2105.04906).

    jssl train vicreg                # embedded digits
    jssl train vicreg:cifar10        # ResNet-18, 1000 epochs
    jssl train vicreg:imagenet       # ResNet-50, batch 2048, 1000 epochs; imagenet-100e: batch 512

Embedded: minutes on two CPU cores.
ImageNet: the authors' recipes; 73.2 % linear after 1000 epochs.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {
        'imagenet': functools.partial(imagenet, 1000, batch_size=2048, base_lr=0.2),
        'imagenet-100e': functools.partial(imagenet, 100, batch_size=512, base_lr=0.3),
    }
    return choose(variant, embedded=embedded, cifar10=cifar10, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    light = recipes.digit_views(jitter=0.8, brightness=0.6, contrast=0.6, solarize=0.0)
    return dict(
        model=model(recipes.edge_resnet(), (64, 256)),
        **recipes.digits(),
        views=policies.byol(**light),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=128, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 512))
    return dict(model=network, views=policies.byol(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem, without blur."""
    optimizer = recipes.lars(0.3, weight_decay=1e-4, eta=0.02)
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 2048)),
        **recipes.cifar10(),
        views=policies.byol(size=32, blur=0.0),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def imagenet(epochs: int, batch_size: int, base_lr: float) -> Config:
    """ResNet-50 with the authors' LARS; the rate is that of 256 images."""
    lr = base_lr * batch_size / 256
    optimizer = recipes.trust_ratio_lars(lr, weight_decay=1e-6)
    warmup = dict(warmup_epochs=10.0, warmup_factor=0.0, warmup_endpoint=False)
    return dict(
        model=model(recipes.resnet50(zero_init_residual=True), (2048, 8192)),
        **recipes.imagenet_in_bfloat16(),
        views=policies.byol(size=224),
        **recipes.cosine(
            optimizer, batch_size=batch_size, epochs=epochs, min_lr=lr / 1000, **warmup
        ),
    )


def model(backbone: Config, widths: tuple[int, int]) -> Config:
    """The algorithm with three layers after the backbone, as wide as each other."""
    wide = dict(num_layers=3, with_bias=True, with_last_bn=False)
    return dict(type='VICReg', backbone=backbone, neck=recipes.mlp(*widths, widths[1], **wide))
