"""NPID, instance discrimination (Wu et al. 2018, arXiv 1805.01978).

    jssl train npid                          # embedded digits
    jssl train npid:imagenet                 # ResNet-50, 200 epochs
    jssl train npid:imagenet-ensure-neg

Embedded: minutes on two CPU cores; accuracies are in docs/results.md.
ImageNet: the reference's recipe for 8 GPUs; its own run reaches 58.3 % linear. The bank takes 656
MB, or half with --config.model.memory_bank.dtype=bfloat16; --config.mesh.fsdp=8 splits it by rows.
"""

import functools
from typing import Any

from ml_collections import ConfigDict

from jssl import recipes
from jssl.config import choose
from jssl.recipes import policies
from jssl.recipes.own_images import OwnImages


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    experiments = dict(embedded=embedded, imagenet=imagenet)
    experiments['imagenet-ensure-neg'] = functools.partial(imagenet, ensure_neg=True)
    return ConfigDict(choose(variant, **experiments), allow_dotted_keys=True)


def embedded() -> dict[str, Any]:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        model=model(
            recipes.edge_resnet(),
            neck=recipes.mlp(64, 256, 64, with_last_bn_affine=False),
            feat_dim=64,
            temperature=0.1,
            neg_num=256,
            ensure_neg=True,
        ),
        **recipes.digits(),
        views=policies.npid(**recipes.digit_views()),
        batch_size=64,
        epochs=36,
        optimizer=dict(type='AdamW', lr=6e-3, weight_decay=1e-4),
        schedule=dict(type='WarmupCosine', warmup_epochs=2.0),
    )


def own(images: OwnImages) -> dict[str, Any]:
    """The user's own images: what `--data=folder:photos` trains on."""
    neck = dict(type='LinearNeck', in_channels=images.width, out_channels=128)
    negatives = dict(neg_num=images.negatives, ensure_neg=True)
    network = model(images.resnet(), neck, feat_dim=128, temperature=0.1, **negatives)
    return dict(model=network, views=policies.npid(images.size), **images.run())


def imagenet(ensure_neg: bool = False) -> dict[str, Any]:
    """ResNet-50 with SGD and 65,536 negatives of each image."""
    return dict(
        model=model(
            recipes.resnet50(),
            neck=dict(type='LinearNeck', in_channels=2048, out_channels=128),
            feat_dim=128,
            temperature=0.07,
            neg_num=65536,
            ensure_neg=ensure_neg,
        ),
        **recipes.imagenet(),
        views=policies.npid(size=224),
        batch_size=256,
        epochs=200,
        optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
        schedule=dict(type='MultiStep', milestones=(120, 160), gamma=0.1),
    )


def model(
    backbone: dict[str, Any],
    neck: dict[str, Any],
    feat_dim: int,
    temperature: float,
    **settings: Any,
) -> dict[str, Any]:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='NPID',
        backbone=backbone,
        neck=neck,
        head=dict(type='ContrastiveHead', temperature=temperature),
        memory_bank=dict(type='SimpleMemory', feat_dim=feat_dim, momentum=0.5, dtype='float32'),
        **settings,
    )
