"""SimCLR (Chen et al. 2020, arXiv 2002.05709).

    python -m jssl.main --config=configs/simclr.py            # embedded digits
    python -m jssl.main --config=configs/simclr.py:cifar10    # ResNet-18, 1000 epochs
    python -m jssl.main --config=configs/simclr.py:imagenet   # ResNet-50, batch 4096, 200 epochs

Embedded: kNN and linear accuracy above 0.80 on held-out digits within 4 minutes on two CPU cores.
CIFAR-10: appendix B.9 of the paper with SGD at batch 512; 92 % linear has been published for it.
ImageNet: the reference's recipe for 16 GPUs; its own runs reach 66.9 % linear.
"""

from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from jssl.config import choose
from jssl.training.optimizers import NO_DECAY_NO_ADAPT


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    experiments = dict(embedded=embedded, cifar10=cifar10, imagenet=imagenet)
    return ConfigDict(choose(variant, **experiments), allow_dotted_keys=True)


def embedded() -> dict[str, Any]:
    """A small ResNet on 6,000 images of handwritten digits, in minutes on a laptop."""
    return dict(
        model=model(
            dict(
                depth=10,
                base_channels=16,
                strides=(1, 2, 2),
                out_indices=(3,),
                cifar_stem=True,
                cifar_stem_stride=2,
            ),
            neck=dict(in_channels=64, hid_channels=128, out_channels=64),
            temperature=0.1,
        ),
        **data('embedded_digits', test='test', canvas=32),
        views=views(size=32, scale=(0.35, 1.0), flip=0.0, jitter=0.3),
        eval_view=dict(type='CenterView', size=32, resize=32),
        batch_size=64,
        epochs=18,
        optimizer=dict(type='AdamW', lr=6e-3, weight_decay=1e-4),
        schedule=dict(type='WarmupCosine', warmup_epochs=2.0),
    )


def cifar10() -> dict[str, Any]:
    """ResNet-18 with the 3x3 stem; weak jitter and no blur, as the paper has it for CIFAR-10."""
    jitter = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    return dict(
        model=model(
            dict(depth=18, cifar_stem=True, out_indices=(4,)),
            neck=dict(in_channels=512, hid_channels=512, out_channels=128),
            temperature=0.5,
        ),
        **data('cifar10', test='test', canvas=32),
        views=views(size=32, blur=0.0, **jitter),
        eval_view=dict(type='CenterView', size=32, resize=32),
        batch_size=512,
        epochs=1000,
        optimizer=dict(type='SGD', lr=0.6, momentum=0.9, weight_decay=1e-6),
        schedule=dict(type='WarmupCosine', warmup_epochs=10.0),
    )


def imagenet() -> dict[str, Any]:
    """ResNet-50 with LARS; the loss weighs 1/16 because 16 processes averaged its gradient."""
    return dict(
        model=model(
            dict(depth=50, out_indices=(4,), zero_init_residual=True),
            neck=dict(in_channels=2048, hid_channels=2048, out_channels=128),
            temperature=0.1,
            loss_weight=1 / 16,
        ),
        **data('imagenet2012', test='validation', canvas=512),
        views=views(size=224),
        eval_view=dict(type='CenterView', size=224, resize=256),
        batch_size=4096,
        epochs=200,
        optimizer=dict(
            type='LARS', lr=4.8, momentum=0.9, weight_decay=1e-6, custom_keys=NO_DECAY_NO_ADAPT
        ),
        schedule=dict(type='WarmupCosine', warmup_epochs=10.0, warmup_factor=1e-4, by_epoch=True),
    )


def model(backbone: dict[str, Any], neck: dict[str, Any], **head: float) -> dict[str, Any]:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='SimCLR',
        backbone=dict(type='ResNet', **backbone),
        neck=dict(type='NonLinearNeck', num_layers=2, **neck),
        head=dict(type='ContrastiveHead', **head),
    )


def data(name: str, test: str, canvas: int) -> dict[str, Any]:
    """A TFDS data set and its held-out split; images larger than the canvas are shrunk."""
    source = dict(type='TFDS', name=name, data_dir=placeholder(str))
    return dict(
        data=source | dict(split='train'), test_data=source | dict(split=test), canvas=canvas
    )


def views(**view: Any) -> dict[str, Any]:
    """Two views of one policy."""
    return dict(type='MultiView', copies=2, view=dict(type='View', **view))
