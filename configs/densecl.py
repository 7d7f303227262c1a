"""DenseCL (Wang et al. 2021, arXiv 2011.09157).

    jssl train densecl             # embedded digits
    jssl train densecl:imagenet    # ResNet-50, 200 epochs

Embedded: minutes on two CPU cores; accuracies are in docs/reference/results.md.
ImageNet: the reference's recipe for 8 GPUs with batch norm over 32 images; its own run reaches
63.5 % linear, and more than MoCo v2 in detection and segmentation, which the method is for.
"""

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, imagenet=imagenet)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    memory = dict(queue_len=128, momentum=0.98, loss_lambda=0.5)
    return dict(
        model=model(recipes.edge_resnet(), (64, 128, 64), 0.1, **memory),
        **recipes.digits(),
        views=policies.moco_v2(**recipes.digit_views()),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=64, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    memory = dict(queue_len=images.queue, momentum=0.99, loss_lambda=0.5)
    network = model(images.resnet(), (images.width, images.width, 128), 0.2, **memory)
    return dict(model=network, views=policies.moco_v2(images.size), **images.run())


def imagenet() -> Config:
    """ResNet-50; both losses weigh the same from the first step, as in the reference."""
    memory = dict(queue_len=65536, momentum=0.999, loss_lambda=0.5)
    return dict(
        model=model(recipes.resnet50(bn_group_size=32), (2048, 2048, 128), 0.2, **memory),
        **recipes.imagenet_in_bfloat16(),
        views=policies.moco_v2(size=224),
        **recipes.cosine(recipes.sgd(0.03), batch_size=256, epochs=200, by_epoch=True),
    )


def model(
    backbone: Config, widths: tuple[int, int, int], temperature: float, **fields: float
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='DenseCL',
        backbone=backbone,
        neck=dict(type='DenseCLNeck', **recipes.widths(*widths)),
        head=dict(type='ContrastiveHead', temperature=temperature),
        feat_dim=widths[2],
        **fields,
    )
