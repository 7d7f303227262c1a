"""SimSiam (Chen and He 2021, arXiv 2011.10566).

    jssl train simsiam                  # embedded digits
    jssl train simsiam:cifar10          # ResNet-18, 800 epochs
    jssl train simsiam:imagenet         # ResNet-50, 200 epochs; imagenet-100e

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
CIFAR-10: appendix D of the paper, which reports 91.8 % linear.
ImageNet: the reference's recipes for 8 GPUs; its own runs reach 68.3 and 69.8 % linear after 100
and 200 epochs.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {f'imagenet-{n}e': functools.partial(imagenet, n) for n in (100, 200)}
    real['imagenet'] = real['imagenet-200e']
    return choose(variant, embedded=embedded, cifar10=cifar10, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        model=model(recipes.edge_resnet(), (64, 256, 256), layers=2, bottleneck=256),
        **recipes.digits(),
        views=policies.moco_v2(**recipes.digit_views()),
        **recipes.cosine(recipes.adamw(3e-3), batch_size=64, epochs=34, warmup_epochs=2.0),
        evaluate=dict(every_epochs=6),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 512, 512), layers=2, bottleneck=128)
    return dict(model=network, views=policies.moco_v2(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem, a neck of two layers and no blur; base rate 0.03 for 256."""
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 2048, 2048), layers=2, bottleneck=512),
        **recipes.cifar10(),
        views=policies.moco_v2(size=32, blur=0.0),
        **recipes.cosine(sgd(0.06, weight_decay=5e-4), batch_size=512, epochs=800),
    )


def imagenet(epochs: int) -> Config:
    """ResNet-50 with SGD at batch 256."""
    backbone = recipes.resnet50(zero_init_residual=True)
    return dict(
        model=model(backbone, (2048, 2048, 2048), layers=3, bottleneck=512),
        **recipes.imagenet_in_bfloat16(),
        views=policies.moco_v2(size=224),
        **recipes.cosine(sgd(0.05), batch_size=256, epochs=epochs, by_epoch=True),
    )


def model(
    backbone: Config, widths: tuple[int, int, int], *, layers: int, bottleneck: int
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    predictor = recipes.predictor(widths[-1], bottleneck, with_last_bias=True)
    return dict(
        type='SimSiam',
        backbone=backbone,
        neck=recipes.mlp(*widths, num_layers=layers, with_last_bn_affine=False),
        head=dict(type='LatentPredictHead', predictor=predictor),
    )


def sgd(lr: float, **fields: float) -> Config:
    """SGD that leaves the predictor's rate alone (section 4.2 of the paper)."""
    return recipes.sgd(lr, custom_keys={'predictor': {'fix_lr': True}}, **fields)
