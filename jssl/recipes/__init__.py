"""Parts that many configs share: the data sets with their evaluation, and networks of their size.

model=dict(type='SimCLR', backbone=recipes.small_resnet(), ...), **recipes.digits()
"""

from typing import Any

from ml_collections.config_dict import placeholder

from jssl.recipes import policies

Config = dict[str, Any]


def digits() -> Config:
    """The embedded handwritten digits, 32 pixels: minutes on a laptop."""
    return _data('embedded_digits', test='test', canvas=32, eval_view=policies.evaluation(32, 32))


def digit_views(**fields: Any) -> Config:
    """Fields of a policy's views for the digits, which are grey and of 14 to 24 pixels.

    Crops of half the image or more keep most of a digit; 24 pixels keep it about as large as the
    evaluation shows it, at half the cost.
    """
    grey = dict(flip=0.0, jitter=0.3, saturation=0.0, hue=0.0, gray=0.0, blur=0.1)
    return dict(size=24, scale=(0.5, 1.0)) | grey | fields


def harsh_light(**fields: Any) -> Config:
    """`digit_views` whose grey levels tell little: no negatives push what views share apart."""
    return digit_views(jitter=1.0, brightness=0.9, contrast=0.9, **fields)


def cifar10() -> Config:
    """CIFAR-10, 32 pixels."""
    return _data('cifar10', test='test', canvas=32, eval_view=policies.evaluation(32, 32))


def imagenet(**eval_view: Any) -> Config:
    """ImageNet, whose usual 500 x 375 pixels fit on the canvas; larger images are shrunk."""
    view = policies.evaluation(**eval_view)
    return _data('imagenet2012', test='validation', canvas=512, eval_view=view)


def small_resnet(**fields: Any) -> Config:
    """ResNet-10 with widths 16, 32 and 64 for 32-pixel images; its features are 64 wide."""
    network = dict(
        depth=10,
        base_channels=16,
        strides=(1, 2, 2),
        out_indices=(3,),
        cifar_stem=True,
        cifar_stem_stride=2,
    )
    return dict(type='ResNet') | network | fields


def edge_resnet(**fields: Any) -> Config:
    """`small_resnet` on Sobel gradients, for methods that would follow the grey levels instead."""
    return small_resnet(**(dict(type='ResNetSobel') | fields))


def cifar_resnet18(**fields: Any) -> Config:
    """ResNet-18 with the 3x3 stem; its features are 512 wide."""
    return resnet(18, **(dict(cifar_stem=True) | fields))


def resnet50(**fields: Any) -> Config:
    """ResNet-50; its features are 2048 wide."""
    return resnet(50, **fields)


def resnet(depth: int, **fields: Any) -> Config:
    """A ResNet that gives the last of its maps."""
    return dict(type='ResNet', **(dict(depth=depth, out_indices=(4,)) | fields))


def mlp(in_channels: int, hid_channels: int, out_channels: int, **fields: Any) -> Config:
    """A neck or a predictor of linear layers with batch norm between them, two unless told."""
    widths = dict(in_channels=in_channels, hid_channels=hid_channels, out_channels=out_channels)
    return dict(type='NonLinearNeck', **widths, **fields)


def predictor(in_channels: int, hid_channels: int, **fields: Any) -> Config:
    """An `mlp` from projections to as wide predictions, with no batch norm after them."""
    own = dict(with_avg_pool=False, with_last_bn=False)
    return mlp(in_channels, hid_channels, in_channels, **(own | fields))


def _data(name: str, test: str, canvas: int, eval_view: Config) -> Config:
    """A TFDS data set and its held-out split."""
    source = dict(type='TFDS', name=name, data_dir=placeholder(str))
    return dict(
        data=source | dict(split='train'),
        test_data=source | dict(split=test),
        canvas=canvas,
        eval_view=eval_view,
    )
