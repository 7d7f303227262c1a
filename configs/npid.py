"""NPID, instance discrimination (Wu et al. 2018, arXiv 1805.01978).

    jssl train npid                          # embedded digits
    jssl train npid:imagenet                 # ResNet-50, 200 epochs; imagenet-ensure-neg

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
ImageNet: the reference's recipe for 8 GPUs; its own run reaches 58.3 % linear. The bank takes 656
MB, or half with --config.model.memory_bank.dtype=bfloat16; --config.mesh.fsdp=8 splits it by rows.
"""

import functools
from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    experiments = dict(embedded=embedded, imagenet=imagenet)
    experiments['imagenet-ensure-neg'] = functools.partial(imagenet, ensure_neg=True)
    return choose(variant, **experiments)


def embedded() -> Config:
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
        **recipes.cosine(recipes.adamw(6e-3), batch_size=64, epochs=36, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    neck = dict(type='LinearNeck', in_channels=images.width, out_channels=128)
    negatives = dict(neg_num=images.negatives, ensure_neg=True)
    network = model(images.resnet(), neck, feat_dim=128, temperature=0.1, **negatives)
    return dict(model=network, views=policies.npid(images.size), **images.run())


def imagenet(ensure_neg: bool = False) -> Config:
    """ResNet-50 with SGD and 65,536 negatives of each image."""
    optimizer = recipes.sgd(0.03)
    return dict(
        model=model(
            recipes.resnet50(),
            neck=dict(type='LinearNeck', in_channels=2048, out_channels=128),
            feat_dim=128,
            temperature=0.07,
            neg_num=65536,
            ensure_neg=ensure_neg,
        ),
        **recipes.imagenet_in_bfloat16(),
        views=policies.npid(size=224),
        **recipes.steps(optimizer, batch_size=256, epochs=200, milestones=(120, 160), gamma=0.1),
    )


def model(
    backbone: Config, neck: Config, feat_dim: int, temperature: float, **settings: Any
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='NPID',
        backbone=backbone,
        neck=neck,
        head=dict(type='ContrastiveHead', temperature=temperature),
        memory_bank=dict(type='SimpleMemory', feat_dim=feat_dim, momentum=0.5, dtype='float32'),
        **settings,
    )
