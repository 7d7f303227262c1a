"""iBOT (Zhou et al. 2022, arXiv 2111.07832).

    jssl train ibot              # embedded digits
    jssl train ibot:imagenet     # ViT-S/16, 800 epochs; imagenet-base

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the authors' recipes; their runs reach (kNN / linear) 75.2 / 77.9 % with ViT-S/16 and
77.1 / 79.5 % with ViT-B/16.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

RATE: Config = dict(warmup_epochs=10.0, warmup_factor=0.0, min_lr=1e-6)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real: Config = {
        'imagenet': functools.partial(imagenet, 'deit-small', 384, 800, unit=False),
        'imagenet-base': functools.partial(imagenet, 'base', 768, 400),
    }
    return choose(variant, embedded=embedded, **real)


def embedded() -> Config:
    """A small vision transformer on 6,000 images of handwritten digits."""
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    sizes = dict(img_size=24, patch_size=4, init_std=0.1)
    # Positions relative to each other: a table tells at once where the digit is.
    backbone = dict(type='DINOViT', arch=arch, rotary={}, **sizes)
    head = dict(out_channels=128, hid_channels=128, bottleneck=64)
    sharp = dict.fromkeys(('teacher_temperature', 'warmup_teacher_temperature'), 0.02)
    sharp |= dict.fromkeys(('patch_temperature', 'warmup_patch_temperature'), 0.02)
    optimizer = recipes.adamw_of_dino(2e-3, decay_schedule=dict(type='Constant'))
    return dict(
        model=model(backbone, 64, head, base_momentum=0.99, warmup_teacher_epochs=0, **sharp),
        **recipes.digits(size=24, resize=24, standardize=True),
        views=policies.dino(local_copies=0, **recipes.no_light(solarize=0.0)),
        **recipes.cosine(optimizer, batch_size=64, epochs=20, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    backbone = dict(type='DINOViT', arch=images.arch, img_size=images.size, patch_size=images.patch)
    width, head = images.arch['embed_dims'], dict(out_channels=4096)
    scale = dict(scale=(0.25, 1.0), local_scale=(0.05, 0.25))
    return dict(
        model=model(backbone, width, head, base_momentum=0.99),
        views=policies.dino(images.size, images.size // 2, local_copies=4, **scale),
        **images.run(recipes.adamw_of_dino(images.lr)),
    )


def imagenet(arch: str, width: int, epochs: int, unit: bool = True) -> Config:
    """ViT in bfloat16; `unit` keeps the columns of the last layer at length 1."""
    backbone = dict(type='DINOViT', arch=arch, drop_path_rate=0.1)
    head = dict(out_channels=8192, norm_last_layer=unit)
    return dict(
        model=model(backbone, width, head),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=policies.dino(scale=(0.25, 1.0), local_scale=(0.05, 0.25), local_copies=10),
        **recipes.cosine(recipes.adamw_of_dino(2e-3), batch_size=1024, epochs=epochs, **RATE),
    )


def model(backbone: Config, width: int, head: Config, **fields: float) -> Config:
    """The algorithm, with one last layer for class tokens and patches."""
    head = dict(type='IBOTHead', in_channels=width, **head)
    return dict(type='IBOT', backbone=backbone, head=head, **fields)
