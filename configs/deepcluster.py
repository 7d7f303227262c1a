"""DeepCluster (Caron et al. 2018, arXiv 1807.05520).

    jssl train deepcluster                   # embedded digits
    jssl train deepcluster:imagenet          # ResNet-50, 200 epochs
    jssl train deepcluster:imagenet-sobel    # on edges, as the paper

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
ImageNet: the reference's recipe for 8 GPUs with batch norm over 64 images; weights of its
predecessor with Sobel input reach 46.9 % linear. It multiplies the loss by 1/10000 by mistake,
which --config.model.normalize_weights=False brings back.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

FRESH_HEAD = {'head': dict(momentum=0.0)}  # it is drawn anew at every clustering


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    experiments = dict(embedded=embedded, imagenet=imagenet)
    experiments['imagenet-sobel'] = functools.partial(imagenet, backbone='ResNetSobel')
    return choose(variant, **experiments)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        # Clusters of twelve images tell digits apart; of a hundred, grey levels and places do.
        model=model(recipes.edge_resnet(), width=64, clusters=500, pca_dim=32, refresh_every=4),
        **recipes.digits(),
        sampler=dict(type='ClassBalanced', num_classes=500),
        views=policies.deepcluster(**recipes.harsh_light()),
        **recipes.cosine(recipes.adamw(5e-3), batch_size=64, epochs=40, warmup_epochs=1.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    clusters = images.clusters
    network = model(images.resnet(), images.width, clusters, images.components, images.now_and_then)
    sampler = dict(type='ClassBalanced', num_classes=clusters)
    views = policies.deepcluster(images.size)
    return dict(model=network, sampler=sampler, views=views, **images.run())


def imagenet(backbone: str = 'ResNet') -> Config:
    """ResNet-50 with SGD at a constant rate, 10,000 clusters made anew after every epoch."""
    network = recipes.resnet50(bn_group_size=64) | dict(type=backbone)
    return dict(
        model=model(network, width=2048, clusters=10000, pca_dim=256),
        **recipes.imagenet_in_bfloat16(),
        sampler=dict(type='ClassBalanced', num_classes=10000),
        views=policies.deepcluster(size=224),
        batch_size=512,
        epochs=200,
        optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-5, custom_keys=FRESH_HEAD),
        schedule=dict(type='Constant'),
    )


def model(
    backbone: Config, width: int, clusters: int, pca_dim: int, refresh_every: int = 1
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='DeepCluster',
        backbone=backbone,
        neck=dict(type='AvgPool2dNeck'),
        head=dict(type='ClsHead', in_channels=width, num_classes=clusters),
        pca_dim=pca_dim,
        refresh_every=refresh_every,
        normalize_weights=True,
    )
