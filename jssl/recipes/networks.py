"""Networks that many configs share."""

from typing import Any

Config = dict[str, Any]


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


def widths(in_channels: int, hid_channels: int, out_channels: int) -> dict[str, int]:
    """The fields of a neck that say how wide its input, its hidden layers and its output are."""
    return dict(in_channels=in_channels, hid_channels=hid_channels, out_channels=out_channels)


def mlp(in_channels: int, hid_channels: int, out_channels: int, **fields: Any) -> Config:
    """A neck or a predictor of linear layers with batch norm between them, two unless told."""
    layers = widths(in_channels, hid_channels, out_channels)
    return dict(type='NonLinearNeck', **layers, **fields)


def predictor(in_channels: int, hid_channels: int, **fields: Any) -> Config:
    """An `mlp` from projections to as wide predictions, with no batch norm after them."""
    own = dict(with_avg_pool=False, with_last_bn=False)
    return mlp(in_channels, hid_channels, in_channels, **(own | fields))


def moco_v2_neck(in_channels: int, hid_channels: int, out_channels: int) -> Config:
    """The neck of MoCo's second version, two linear layers."""
    return dict(type='MoCoV2Neck', **widths(in_channels, hid_channels, out_channels))


def brightness_tokenizer(patch: int) -> Config:
    """A tokenizer without weights: four levels of brightness in each quarter of a patch."""
    return dict(type='BrightnessTokenizer', patch_size=patch, cells=2, levels=4)
