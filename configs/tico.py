"""TiCo (Zhu et al. 2022, arXiv 2206.10698).

    jssl train tico                # embedded digits
    jssl train tico:imagenet       # ResNet-50, batch 4096, 1000 epochs

Embedded: minutes on two CPU cores.
ImageNet: length and batch of the paper, rates of ours by analogy; not run yet.
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
        model=model(recipes.edge_resnet(), (64, 256, 64), base_momentum=0.9),
        **recipes.digits(),
        views=policies.byol(**recipes.digit_views(solarize=0.0)),
        **recipes.cosine(recipes.adamw(4e-3), batch_size=64, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 1024, 256))
    return dict(model=network, views=policies.byol(images.size), **images.run())


def imagenet() -> Config:
    """ResNet-50 with LARS."""
    return dict(
        model=model(recipes.resnet50(), (2048, 4096, 256)),
        **recipes.imagenet_in_bfloat16(),
        views=policies.byol(size=224),
        **recipes.cosine(
            recipes.lars(3.2, weight_decay=1.5e-6), batch_size=4096, epochs=1000, warmup_epochs=10.0
        ),
    )


def model(backbone: Config, widths: tuple[int, int, int], base_momentum: float = 0.99) -> Config:
    """The algorithm, with the neck of BYOL."""
    neck = recipes.mlp(*widths, with_bias=True, with_last_bn=False)
    return dict(type='TiCo', backbone=backbone, neck=neck, base_momentum=base_momentum)
