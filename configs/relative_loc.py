"""Relative location (Doersch et al. 2015, arXiv 1505.05192).

    jssl train relative_loc              # embedded digits
    jssl train relative_loc:imagenet     # ResNet-50, 70 epochs

Embedded: patches of 16 pixels from digits enlarged to 64; `accuracy` is that of the pretext task,
1/8 by chance, and cannot come near 1, for many patches are empty. Minutes on two CPU cores; what it
reaches is in docs/reference/results.md.
ImageNet: the reference's recipe for 8 GPUs with batch norm over the patches of 64 images; its own
run reaches 40.4 % linear.
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
    backbone = recipes.small_resnet(strides=(1, 1, 2))
    # Exactly twice the canvas: at 66 pixels the interpolation gave a patch's place away, for it
    # smooths the noise of each pixel by how far it lies from those of the canvas.
    side = 64
    return dict(
        model=model(backbone, widths=(64, 128)),
        # The features are judged on digits of the size that the patches show.
        **(recipes.digits() | dict(eval_view=policies.evaluation(side, side))),
        views=policies.relative_loc(resize=side, crop=60, patch=16),
        **recipes.cosine(recipes.adamw(4e-3), batch_size=32, epochs=8, warmup_epochs=1.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    lengths = dict(resize=292, crop=255, patch=64)
    views = policies.relative_loc(**{key: images.scaled(side) for key, side in lengths.items()})
    return dict(model=model(images.resnet(), (images.width, 512)), views=views, **images.run())


def imagenet() -> Config:
    """ResNet-50 with SGD; the decay of neck and head is five times that of the backbone."""
    more_decay = {part: dict(decay_mult=5.0) for part in ('neck', 'head')}
    optimizer = recipes.sgd(0.2, custom_keys=more_decay)
    rate = dict(milestones=(30, 50), gamma=0.1, warmup_epochs=5.0, warmup_factor=0.1)
    return dict(
        model=model(recipes.resnet50(bn_group_size=512), widths=(2048, 4096), bn_group_size=512),
        **recipes.imagenet_in_bfloat16(),
        views=policies.relative_loc(),
        **recipes.steps(optimizer, batch_size=512, epochs=70, **rate),
    )


def model(backbone: Config, widths: tuple[int, int], **neck: Any) -> Config:
    """The algorithm, in the shape MMSelfSup's users know; `widths` are those of the neck."""
    width, out = widths
    return dict(
        type='RelativeLoc',
        backbone=backbone,
        neck=dict(type='RelativeLocNeck', in_channels=width, out_channels=out, **neck),
        head=dict(type='ClsHead', in_channels=out, num_classes=8, init_std=0.005),
    )
