"""DINOv3 (Simeoni et al. 2025, arXiv 2508.10104).

    jssl train dinov3             # embedded digits
    jssl train dinov3:gram --config.pretrained=runs/dinov3    # a second run, with Gram anchoring
    jssl train dinov3:imagenet    # ViT-L/16, 100 epochs

Embedded: docs/reference/results.md. ImageNet: the authors' lin834, 82.0 % kNN, 83.5 % linear.
"""

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

RATE: Config = dict(warmup_epochs=10.0, warmup_factor=0.0, min_lr=1e-6)
CROPS: Config = dict(scale=(0.32, 1.0), local_scale=(0.05, 0.32))
PLAIN: Config = dict(num_registers=0, mask_k_bias=False, norm_epsilon=1e-6, local_cls_norm=False)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, gram=gram, imagenet=imagenet)


def embedded() -> Config:
    """A small vision transformer on 6,000 images of handwritten digits."""
    local: Config = dict(local_size=16, local_scale=(0.35, 0.5), local_copies=1)
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    backbone = vit(arch, 24, 4, layer_scale=0.1, init_std=0.1, rotary=dict(rescale=2.0))
    head = dict(in_channels=64, out_channels=128, hid_channels=128, bottleneck=64)
    sharp = dict(koleo_weight=0.005, teacher_temperature=0.03, warmup_teacher_epochs=0)
    return dict(
        model=model(backbone, head, base_momentum=0.99, **sharp),
        **recipes.digits(size=24, resize=24, standardize=True),
        views=policies.dino(**local, **recipes.no_light(solarize=0.0)),
        **recipes.cosine(recipes.steady_adamw(2e-3), batch_size=64, epochs=14, warmup_epochs=2.0),
    )


def gram() -> Config:
    """The Gram phase: half as long, at a constant rate; the Gram teacher sees twice the pixels."""
    config, anchors = embedded(), dict(type='GramAnchoring', copy_epochs=(5.0,))
    config['model'] |= dict(gram=anchors, base_momentum=0.994, last_momentum=0.994)
    config['views']['plain_size'] = 48
    config['schedule'] = dict(type='Constant', warmup_epochs=1.0, warmup_factor=0.0)
    return config | dict(epochs=10, optimizer=recipes.steady_adamw(3e-4))


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    backbone = vit(images.arch, images.size, images.patch, layer_scale=0.1)
    head = dict(in_channels=images.arch['embed_dims'], out_channels=4096)
    network = model(backbone, head, base_momentum=0.99, warmup_teacher_epochs=images.epochs // 5)
    views = policies.dino(images.size, images.size // 2, local_copies=4, **CROPS)
    return dict(model=network, views=views, **images.run(recipes.adamw_of_dinov2(images.lr)))


def imagenet() -> Config:
    """ViT-L/16 in bfloat16, without registers, as the recipe has it."""
    backbone = vit('large', 224, 16, drop_path_rate=0.3, **PLAIN)
    head, views = dict(in_channels=1024), policies.dino(**CROPS)
    views['first']['blur'], views['second']['blur'] = 0.0, 0.9
    optimizer = recipes.adamw_of_dinov2(5.66e-3, layer_decay_rate=0.9)
    return dict(
        model=model(backbone, head, base_momentum=0.992, warmup_teacher_epochs=30),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=views,
        **recipes.cosine(optimizer, batch_size=2048, epochs=100, **RATE),
    )


def vit(arch: str | Config, size: int, patch: int, **fields: object) -> Config:
    """The backbone."""
    return dict(type='DINOv3ViT', arch=arch, img_size=size, patch_size=patch, **fields)


def model(backbone: Config, head: Config, **fields: float) -> Config:
    """The algorithm, with two heads of one size and a momentum that ends at 1."""
    head = dict(type='DINOHead', weight_norm=False, **head)
    heads = dict(head=head, patch_head=dict(head))
    return dict(type='DINOv3', backbone=backbone, **heads, last_momentum=1.0, **fields)
