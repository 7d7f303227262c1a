"""SwAV (Caron et al. 2020, arXiv 2006.09882).

    jssl train swav             # embedded digits
    jssl train swav:cifar10     # ResNet-18, 1000 epochs
    jssl train swav:imagenet    # ResNet-50, 2x224 + 6x96, 200 epochs

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
CIFAR-10: 89.2 % linear has been published for such a recipe (solo-learn).
ImageNet: the reference's recipe for 8 GPUs at batch 256; its own runs reach 70.5 % linear.
"""

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, cifar10=cifar10, imagenet=imagenet)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    small: Config = dict(small_size=16, small_scale=(0.35, 0.5), small_copies=1)
    head: Config = dict(num_prototypes=128, num_crops=(2, 1), epsilon=0.03)
    return dict(
        model=model(recipes.edge_resnet(), (64, 128, 64), head, freeze_prototypes=10 * 93),
        **recipes.digits(),
        views=policies.swav(**small, **recipes.harsh_light()),
        **recipes.cosine(recipes.adamw(4e-3), batch_size=64, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    head = dict(num_prototypes=images.clusters, num_crops=(2, 2))
    fixed = dict(freeze_prototypes=images.steps_per_epoch)
    network = model(images.resnet(), (images.width, 512, 128), head, **fixed)
    views = policies.swav(images.size, images.scaled(96), small_copies=2)
    return dict(model=network, views=views, **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem and two views; 195 steps an epoch."""
    head = dict(num_prototypes=3000, num_crops=(2,))
    queue = dict(queue_length=3840, queue_start_epoch=50, freeze_prototypes=2 * 195)
    optimizer = recipes.lars(0.6, weight_decay=1e-6, eta=0.02)
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 2048, 128), head, **queue),
        **recipes.cifar10(),
        views=policies.simclr(size=32),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def imagenet() -> Config:
    """ResNet-50 with LARS, which adapts and decays everything; codes are balanced by the batch."""
    backbone = recipes.resnet50(zero_init_residual=True)
    head = dict(num_prototypes=3000, num_crops=(2, 6))
    queue = dict(queue_length=3840, queue_start_epoch=15, freeze_prototypes=5005)
    optimizer = dict(type='LARS', lr=0.6, momentum=0.9, weight_decay=1e-6)
    return dict(
        model=model(backbone, (2048, 2048, 128), head, **queue),
        **recipes.imagenet_in_bfloat16(),
        views=policies.swav(size=224),
        **recipes.cosine(optimizer, batch_size=256, epochs=200, min_lr=6e-4),
    )


def model(backbone: Config, widths: tuple[int, int, int], head: Config, **fields: int) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='SwAV',
        backbone=backbone,
        neck=dict(type='SwAVNeck', **recipes.widths(*widths)),
        head=dict(type='SwAVHead', feat_dim=widths[2], **head),
        **fields,
    )
