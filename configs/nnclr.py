"""NNCLR (Dwibedi et al. 2021, arXiv 2104.14548).

    jssl train nnclr                # embedded digits
    jssl train nnclr:cifar10        # ResNet-18, 1000 epochs
    jssl train nnclr:imagenet       # ResNet-50, batch 4096, 1000 epochs

Embedded: minutes on two CPU cores.
CIFAR-10: settings of ours, as for SimCLR.
ImageNet: length, batch, set and temperature of the paper, which reaches 75.4 % linear; rates of
ours by analogy. Neither has been run yet.
"""

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, cifar10=cifar10, imagenet=imagenet)


def embedded() -> Config:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        model=model(recipes.edge_resnet(), (64, 128, 64), queue_len=1024),
        **recipes.digits(),
        views=policies.simclr(**recipes.digit_views()),
        **recipes.cosine(recipes.adamw(4e-3), batch_size=64, epochs=30, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 512, 128), queue_len=images.queue)
    return dict(model=network, views=policies.simclr(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem, without blur."""
    optimizer = recipes.lars(0.4, weight_decay=1e-5, eta=0.02)
    network = model(recipes.cifar_resnet18(), (512, 2048, 256), queue_len=65536, temperature=0.2)
    return dict(
        model=network,
        **recipes.cifar10(),
        views=policies.simclr(size=32, blur=0.0),
        **recipes.cosine(optimizer, batch_size=256, epochs=1000, warmup_epochs=10.0),
    )


def imagenet() -> Config:
    """ResNet-50 with LARS."""
    return dict(
        model=model(recipes.resnet50(), (2048, 2048, 256), queue_len=98304),
        **recipes.imagenet_in_bfloat16(),
        views=policies.simclr(size=224),
        **recipes.cosine(
            recipes.lars(4.8, weight_decay=1e-6), batch_size=4096, epochs=1000, warmup_epochs=10.0
        ),
    )


def model(
    backbone: Config, widths: tuple[int, int, int], queue_len: int, temperature: float = 0.1
) -> Config:
    """The algorithm: three layers after the backbone, two in the predictor."""
    predictor = recipes.predictor(widths[2], 4 * widths[2], with_last_bias=True)
    return dict(
        type='NNCLR',
        backbone=backbone,
        neck=recipes.mlp(*widths, num_layers=3),
        head=dict(type='MoCoV3Head', predictor=predictor, temperature=temperature),
        queue_len=queue_len,
        feat_dim=widths[2],
    )
