"""ODC, online deep clustering (Zhan et al. 2020, arXiv 2006.10645).

    jssl train odc              # embedded digits
    jssl train odc:imagenet     # ResNet-50, 440 epochs

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the reference's recipe for 8 GPUs; weights of its predecessor reach 53.4 % linear. It
multiplies the loss by about 1/10000 by mistake, which --config.model.normalize_weights=False
brings back.
"""

from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, imagenet=imagenet)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    # Rows that move by 0.02 keep the labels for some epochs, and a long warm-up the features alike
    # from which the rows are mixed; a batch norm in place of the neck's ReLU sets clusters apart.
    memory = dict(momentum=0.02, min_cluster=3)
    return dict(
        model=model(recipes.edge_resnet(), (64, 1024, 256), 500, 93, memory, with_last_bn=True),
        **recipes.digits(),
        sampler=dict(type='WithReplacement'),
        views=policies.deepcluster(**recipes.harsh_light()),
        **recipes.cosine(recipes.adamw(3.5e-3), batch_size=64, epochs=42, warmup_epochs=10.0),
        evaluate=dict(every_epochs=6),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    widths, memory = (images.width, 512, 256), dict(momentum=0.5, min_cluster=3)
    network = model(images.resnet(), widths, images.clusters, images.steps_per_epoch, memory)
    sampler = dict(type='WithReplacement')
    views = policies.deepcluster(images.size)
    return dict(model=network, sampler=sampler, views=views, **images.run())


def imagenet() -> Config:
    """ResNet-50 with SGD, 10,000 clusters that are made once and move with every batch."""
    memory = dict(momentum=0.5, min_cluster=20)
    fresh_head = {'head': dict(momentum=0.0)}
    optimizer = recipes.sgd(0.06, weight_decay=1e-5, custom_keys=fresh_head)
    return dict(
        model=model(recipes.resnet50(), (2048, 512, 256), 10000, 10, memory),
        **recipes.imagenet_in_bfloat16(),
        sampler=dict(type='WithReplacement'),
        views=policies.deepcluster(size=224),
        **recipes.steps(optimizer, batch_size=512, epochs=440, milestones=(400,), gamma=0.4),
    )


def model(
    backbone: Config,
    widths: tuple[int, int, int],
    clusters: int,
    centroid_interval: int,
    memory: Config,
    **neck: Any,
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know; `widths` are those of the neck."""
    return dict(
        type='ODC',
        backbone=backbone,
        neck=dict(type='ODCNeck', **recipes.widths(*widths), **neck),
        head=dict(type='ClsHead', in_channels=widths[2], num_classes=clusters),
        memory_bank=dict(type='ODCMemory', feat_dim=widths[2], num_classes=clusters, **memory),
        centroid_interval=centroid_interval,
        small_cluster_interval=1,
        normalize_weights=True,
    )
