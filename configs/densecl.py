"""DenseCL (Wang et al. 2021, arXiv 2011.09157).

    jssl train densecl             # embedded digits
    jssl train densecl:imagenet    # ResNet-50, 200 epochs

Embedded: minutes on two CPU cores; accuracies are in docs/results.md.
ImageNet: the reference's recipe for 8 GPUs with batch norm over 32 images; its own run reaches
63.5 % linear, and more than MoCo v2 in detection and segmentation, which the method is for.
"""

from typing import Any

from ml_collections import ConfigDict

from jssl import recipes
from jssl.config import choose
from jssl.recipes import policies
from jssl.recipes.own_images import OwnImages


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    experiments = dict(embedded=embedded, imagenet=imagenet)
    return ConfigDict(choose(variant, **experiments), allow_dotted_keys=True)


def embedded() -> dict[str, Any]:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    memory = dict(queue_len=128, momentum=0.98, loss_lambda=0.5)
    return dict(
        model=model(recipes.edge_resnet(), (64, 128, 64), 0.1, **memory),
        **recipes.digits(),
        views=policies.moco_v2(**recipes.digit_views()),
        batch_size=64,
        epochs=30,
        optimizer=dict(type='AdamW', lr=6e-3, weight_decay=1e-4),
        schedule=dict(type='WarmupCosine', warmup_epochs=2.0),
    )


def own(images: OwnImages) -> dict[str, Any]:
    """The user's own images: what `--data=folder:photos` trains on."""
    memory = dict(queue_len=images.queue, momentum=0.99, loss_lambda=0.5)
    network = model(images.resnet(), (images.width, images.width, 128), 0.2, **memory)
    return dict(model=network, views=policies.moco_v2(images.size), **images.run())


def imagenet() -> dict[str, Any]:
    """ResNet-50; both losses weigh the same from the first step, as in the reference."""
    memory = dict(queue_len=65536, momentum=0.999, loss_lambda=0.5)
    return dict(
        model=model(recipes.resnet50(bn_group_size=32), (2048, 2048, 128), 0.2, **memory),
        **recipes.imagenet(),
        views=policies.moco_v2(size=224),
        batch_size=256,
        epochs=200,
        optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
        schedule=dict(type='WarmupCosine', by_epoch=True),
    )


def model(
    backbone: dict[str, Any],
    widths: tuple[int, int, int],
    temperature: float,
    **fields: float,
) -> dict[str, Any]:
    """The algorithm, in the shape MMSelfSup's users know."""
    names = ('in_channels', 'hid_channels', 'out_channels')
    return dict(
        type='DenseCL',
        backbone=backbone,
        neck=dict(type='DenseCLNeck', **dict(zip(names, widths, strict=True))),
        head=dict(type='ContrastiveHead', temperature=temperature),
        feat_dim=widths[2],
        **fields,
    )
