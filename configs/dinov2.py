"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193).

    jssl train dinov2             # embedded digits
    jssl train dinov2:imagenet    # ViT-L/16, 100 epochs; imagenet-paper-blur

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the authors' recipe vitl16_short; their run reaches 81.6 % kNN and 82.9 % linear. It and
all weights that they released were trained with the first crop never blurred and the second in 90 %
of cases, which their code says the other way round; imagenet-paper-blur has what it says.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

RATE: Config = dict(warmup_epochs=10.0, warmup_factor=0.0, min_lr=1e-6)
HEAD: Config = dict(type='DINOHead', norm_last_layer=False)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real: Config = {
        'imagenet': imagenet,
        'imagenet-paper-blur': functools.partial(imagenet, (1.0, 0.1)),
    }
    return choose(variant, embedded=embedded, **real)


def embedded() -> Config:
    """A small vision transformer on 6,000 images of handwritten digits."""
    local: Config = dict(local_size=16, local_scale=(0.35, 0.5), local_copies=1)
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    # Positions relative to each other: a table tells at once where the digit is.
    backbone = vit(arch, 24, 4, num_registers=2, layer_scale=0.1, init_std=0.1, rotary={})
    head = dict(type='DINOHead', in_channels=64, out_channels=128, hid_channels=128, bottleneck=64)
    sharp = dict.fromkeys(('teacher_temperature', 'warmup_teacher_temperature'), 0.03)
    settings = dict(base_momentum=0.99, koleo_weight=0.005, **sharp)
    return dict(
        model=dict(type='DINOv2', backbone=backbone, head=head, patch_head=head, **settings),
        **recipes.digits(size=24, resize=24, standardize=True),
        views=policies.dino(**local, **recipes.no_light(solarize=0.0)),
        **recipes.cosine(recipes.steady_adamw(2e-3), batch_size=64, epochs=14, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    backbone = vit(images.arch, images.size, images.patch, layer_scale=0.1)
    head = HEAD | dict(in_channels=images.arch['embed_dims'], out_channels=4096)
    network = dict(type='DINOv2', backbone=backbone, head=head, base_momentum=0.99)
    scale = dict(scale=(0.32, 1.0), local_scale=(0.05, 0.32))
    views = policies.dino(images.size, images.size // 2, local_copies=4, **scale)
    return dict(model=network, views=views, **images.run(recipes.adamw_of_dinov2(images.lr)))


def imagenet(blur: tuple[float, float] = (0.0, 0.9)) -> Config:
    """ViT-L/16 in bfloat16, a head for both losses and running means; `blur` of the two crops."""
    backbone = vit('large', 224, 16, drop_path_rate=0.3, layer_scale=1e-5)
    head = HEAD | dict(in_channels=1024, out_channels=65_536)
    views = policies.dino(scale=(0.32, 1.0), local_scale=(0.05, 0.32))
    for crop, share in zip(('first', 'second'), blur, strict=True):
        views[crop]['blur'] = share
    optimizer = recipes.adamw_of_dinov2(5.66e-3, layer_decay_rate=0.9)
    return dict(
        model=dict(type='DINOv2', backbone=backbone, head=head, centering='mean'),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=views,
        **recipes.cosine(optimizer, batch_size=2048, epochs=100, **RATE),
    )


def vit(arch: str | Config, size: int, patch: int, **fields: object) -> Config:
    """The backbone."""
    own = dict(arch=arch, img_size=size, patch_size=patch, drop_subsets=True)
    return dict(type='DINOViT', **own, **fields)
