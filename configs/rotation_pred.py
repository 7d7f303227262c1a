"""Rotation prediction (Gidaris et al. 2018, arXiv 1803.07728).

    jssl train rotation_pred              # embedded digits
    jssl train rotation_pred:imagenet     # ResNet-50, 70 epochs

Embedded: `accuracy` is that of the pretext task, 1/4 by chance; a 0, 1 or 8 looks the same upside
down and a 6 like a 9, so it cannot come near 1. Minutes on two CPU cores; what it reaches is in
docs/reference/results.md.
ImageNet: the reference's recipe for 8 GPUs; its own run reaches 47.0 % linear.
"""

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, imagenet=imagenet)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        model=model(recipes.edge_resnet(), width=64),
        **recipes.digits(),
        views=policies.rotation_pred(**recipes.digit_views(jitter=0.0, blur=0.0)),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=32, epochs=21, warmup_epochs=1.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    views = policies.rotation_pred(images.size)
    return dict(model=model(images.resnet(), images.width), views=views, **images.run())


def imagenet() -> Config:
    """ResNet-50 with SGD; a batch of 128 images are 512 turns."""
    optimizer = recipes.sgd(0.2)
    rate = dict(milestones=(30, 50), gamma=0.1, warmup_epochs=5.0, warmup_factor=0.1)
    return dict(
        model=model(recipes.resnet50(), width=2048),
        **recipes.imagenet_in_bfloat16(),
        views=policies.rotation_pred(size=224),
        **recipes.steps(optimizer, batch_size=128, epochs=70, **rate),
    )


def model(backbone: Config, width: int) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    head = dict(type='ClsHead', in_channels=width, num_classes=4, with_avg_pool=True)
    return dict(type='RotationPred', backbone=backbone, head=head)
