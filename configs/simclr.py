"""SimCLR (Chen et al. 2020, arXiv 2002.05709).

    jssl train simclr            # embedded digits
    jssl train simclr:cifar10    # ResNet-18, 1000 epochs
    jssl train simclr:imagenet   # ResNet-50, batch 4096, 200 epochs

Embedded: kNN and linear accuracy above 0.85 on held-out digits in 3 minutes on two CPU cores.
CIFAR-10: appendix B.9 of the paper with SGD at batch 512; 92 % linear has been published for it.
ImageNet: the reference's recipe for 16 GPUs; its own runs reach 66.9 % linear.
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
        model=model(recipes.small_resnet(), (64, 128, 64), temperature=0.1),
        **recipes.digits(),
        views=policies.simclr(**recipes.digit_views()),
        **recipes.cosine(recipes.adamw(6e-3), batch_size=64, epochs=20, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    network = model(images.resnet(), (images.width, 256, 128), temperature=0.2)
    return dict(model=network, views=policies.simclr(images.size), **images.run())


def cifar10() -> Config:
    """ResNet-18 with the 3x3 stem; weak jitter and no blur, as the paper has it for CIFAR-10."""
    jitter = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    optimizer = recipes.sgd(0.6, weight_decay=1e-6)
    return dict(
        model=model(recipes.cifar_resnet18(), (512, 512, 128), temperature=0.5),
        **recipes.cifar10(),
        views=policies.simclr(size=32, blur=0.0, **jitter),
        **recipes.cosine(optimizer, batch_size=512, epochs=1000, warmup_epochs=10.0),
    )


def imagenet() -> Config:
    """ResNet-50 with LARS; the loss weighs 1/16 because 16 processes averaged its gradient."""
    backbone = recipes.resnet50(zero_init_residual=True)
    optimizer = recipes.lars(4.8, weight_decay=1e-6)
    rate = dict(warmup_epochs=10.0, warmup_factor=1e-4, by_epoch=True)
    return dict(
        model=model(backbone, (2048, 2048, 128), temperature=0.1, loss_weight=1 / 16),
        **recipes.imagenet_in_bfloat16(),
        views=policies.simclr(size=224),
        **recipes.cosine(optimizer, batch_size=4096, epochs=200, **rate),
    )


def model(backbone: Config, widths: tuple[int, int, int], **head: float) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='SimCLR',
        backbone=backbone,
        neck=recipes.mlp(*widths, num_layers=2),
        head=dict(type='ContrastiveHead', **head),
    )
