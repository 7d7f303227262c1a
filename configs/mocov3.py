"""MoCo v3 (Chen, Xie, He 2021, arXiv 2104.02057).

    jssl train mocov3                       # embedded digits
    jssl train mocov3:cifar10               # ResNet-18, 1000 epochs
    jssl train mocov3:imagenet              # ResNet-50, 300 epochs
    jssl train mocov3:imagenet-vit-base     # ViT-B/16, 300 epochs

Embedded: minutes on two CPU cores; accuracies are in docs/results.md.
CIFAR-10: 93.1 % linear has been published for such a recipe (solo-learn).
ImageNet: the reference's recipes of batch 4096; its own runs reach 69.6, 72.8 and 74.4 % linear
with ResNet-50 after 100, 300 and 800 epochs, 73.6 and 76.9 % with ViT-S and ViT-B, and 83.7 %
fine-tuned with ViT-L.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

EMPTY: Config = {}
# Epochs -> learning rate, weight decay, momentum of the first step.
RESNET50 = {100: (9.6, 1e-6, 0.99), 300: (4.8, 1e-6, 0.99), 800: (4.8, 1.5e-6, 0.996)}
VIT_WIDTHS = dict(small=384, base=768, large=1024)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {f'imagenet-resnet50-{n}e': functools.partial(resnet50, n) for n in (100, 300, 800)}
    real['imagenet'] = real['imagenet-resnet50-300e']
    real |= {f'imagenet-vit-{arch}': functools.partial(vit, arch) for arch in VIT_WIDTHS}
    return choose(variant, embedded=embedded, cifar10=cifar10, **real)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    predictor = dict(with_last_bn=True, with_last_bn_affine=False)
    settings: Config = dict(base_momentum=0.9, predictor=predictor)
    return dict(
        model=model(recipes.edge_resnet(), (64, 128, 64), 0.1, **settings),
        **recipes.digits(),
        views=policies.moco_v3(**recipes.digit_views(solarize=0.0)),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=64, epochs=27, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 1024, 256), 0.2)
    return dict(model=network, views=policies.moco_v3(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem, after solo-learn, whose LARS also bounds the local rate by 1."""
    optimizer = recipes.lars(0.3, weight_decay=1e-6, eta=0.02)
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 4096, 256), 0.2),
        **recipes.cifar10(),
        views=policies.moco_v3(size=32, scale=(0.08, 1.0)),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def resnet50(epochs: int) -> Config:
    """ResNet-50 in bfloat16, with LARS."""
    lr, decay, momentum = RESNET50[epochs]
    half = dict(dtype='bfloat16')
    backbone, widths = recipes.resnet50(**half), (2048, 4096, 256)
    optimizer = recipes.lars(lr, weight_decay=decay)
    return dict(
        model=model(backbone, widths, 1.0, base_momentum=momentum, neck=half, predictor=half),
        **recipes.imagenet(),
        views=policies.moco_v3(size=224),
        **recipes.cosine(optimizer, batch_size=4096, epochs=epochs, warmup_epochs=10.0),
    )


def vit(arch: str) -> Config:
    """ViT-S/16, B/16 or L/16 in bfloat16 with AdamW; the patch projection stays as it was drawn."""
    half, width = dict(dtype='bfloat16'), VIT_WIDTHS[arch]
    backbone = dict(type='MoCoV3ViT', arch=arch, stop_grad_conv1=True, **half)
    neck = dict(num_layers=3, vit_backbone=True, with_avg_pool=False, **half)
    predictor = dict(with_last_bn=True, with_last_bn_affine=False, **half)
    clip = 5.0 if arch == 'large' else None
    optimizer = dict(type='AdamW', lr=2.4e-3, weight_decay=0.1, clip=clip)
    return dict(
        model=model(backbone, (width, 4096, 256), 0.2, neck=neck, predictor=predictor),
        **recipes.imagenet(interpolation='bicubic'),
        views=policies.moco_v3(size=224, scale=(0.08, 1.0)),
        **recipes.cosine(optimizer, batch_size=4096, epochs=300, warmup_epochs=40.0),
    )


def model(
    backbone: Config,
    widths: tuple[int, int, int],
    temperature: float,
    *,
    base_momentum: float = 0.99,
    neck: Config = EMPTY,
    predictor: Config = EMPTY,
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    _, hidden, out = widths
    return dict(
        type='MoCoV3',
        base_momentum=base_momentum,
        backbone=backbone,
        neck=recipes.mlp(*widths, with_last_bn_affine=False, **neck),
        head=dict(
            type='MoCoV3Head',
            predictor=recipes.predictor(out, hidden, **predictor),
            temperature=temperature,
            loss_weight=2 * temperature,
        ),
    )
