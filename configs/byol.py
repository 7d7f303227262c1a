"""BYOL (Grill et al. 2020, arXiv 2006.07733).

    jssl train byol                  # embedded digits
    jssl train byol:cifar10          # ResNet-18, 1000 epochs
    jssl train byol:imagenet         # ResNet-50, 200 epochs; imagenet-100e, imagenet-300e

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
CIFAR-10: 92.6 % linear has been published for such a recipe (solo-learn).
ImageNet: the reference's recipes of batch 4096; its own run of 200 epochs reaches 71.8 % linear.
Those it also gives for 8 GPUs accumulate batches of 256 or 2048; here all 4096 images share a step.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {f'imagenet-{n}e': functools.partial(imagenet, n) for n in (100, 200, 300)}
    real['imagenet'] = real['imagenet-200e']
    return choose(variant, embedded=embedded, cifar10=cifar10, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    normalized = dict(with_last_bn=True, with_last_bn_affine=False)  # else few directions are used
    return dict(
        model=model(recipes.edge_resnet(), (64, 256, 256), 0.9, **normalized),
        **recipes.digits(),
        views=policies.byol(**recipes.digit_views(solarize=0.0)),
        **recipes.cosine(recipes.adamw(4e-3), batch_size=64, epochs=34, warmup_epochs=2.0),
        evaluate=dict(every_epochs=6),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 1024, 256), base_momentum=0.99)
    return dict(model=network, views=policies.byol(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem, after solo-learn, whose LARS also bounds the local rate by 1."""
    optimizer = recipes.lars(1.0, weight_decay=1e-5, eta=0.02)
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 4096, 256), base_momentum=0.99),
        **recipes.cifar10(),
        views=policies.byol(size=32),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def imagenet(epochs: int) -> Config:
    """ResNet-50 with LARS."""
    optimizer = recipes.lars(7.2 if epochs == 100 else 4.8, weight_decay=1e-6)
    rate = dict(warmup_epochs=10.0, by_epoch=True)
    return dict(
        model=model(recipes.resnet50(), (2048, 4096, 256), base_momentum=0.99),
        **recipes.imagenet_in_bfloat16(),
        views=policies.byol(size=224),
        **recipes.cosine(optimizer, batch_size=4096, epochs=epochs, **rate),
    )


def model(
    backbone: Config, widths: tuple[int, int, int], base_momentum: float, **neck: bool
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    predictor = recipes.predictor(widths[2], widths[1], with_bias=True)
    return dict(
        type='BYOL',
        base_momentum=base_momentum,
        backbone=backbone,
        neck=recipes.mlp(*widths, **(dict(with_bias=True, with_last_bn=False) | neck)),
        head=dict(type='LatentPredictHead', predictor=predictor),
    )
