"""ResNets, and the perceptrons that follow them, in plain `torch.nn`."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from jssl.backbones import ResNet as JaxResNet
from jssl.backbones.resnet import LAYOUTS
from jssl.backbones.resnet import BasicBlock as JaxBasicBlock
from jssl.necks import NonLinearNeck as JaxNeck
from jssl.necks import SwAVNeck as JaxSwAVNeck


def convolution(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded by half its kernel."""
    return nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, bias=False)


class Block(nn.Module):
    """What both residual blocks share: the shortcut.

    Args:
      width_in: channels that come in.
      channels: width of the block's convolutions.
      stride: of the block.
    """

    expansion = 1

    def __init__(self, width_in: int, channels: int, stride: int) -> None:
        super().__init__()
        width = self.expansion * channels
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            shortcut = convolution(width_in, width, 1, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))


class BasicBlock(Block):
    """Two 3x3 convolutions; arguments as for `Block`."""

    def __init__(self, width_in: int, channels: int, stride: int) -> None:
        super().__init__(width_in, channels, stride)
        self.conv1 = convolution(width_in, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, channels, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions; arguments as for `Block`."""

    expansion = 4

    def __init__(self, width_in: int, channels: int, stride: int) -> None:
        super().__init__(width_in, channels, stride)
        self.conv1 = convolution(width_in, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = convolution(channels, 4 * channels, 1)
        self.bn3 = nn.BatchNorm2d(4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, 4 * channels, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """The twin of `jssl.backbones.ResNet`, of which `ours` gives the geometry."""

    def __init__(self, ours: JaxResNet) -> None:
        super().__init__()
        width = ours.base_channels
        kernel, stride = (3, ours.cifar_stem_stride) if ours.cifar_stem else (7, 2)
        self.conv1 = convolution(3, width, kernel, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.Identity() if ours.cifar_stem else nn.MaxPool2d(3, 2, padding=1)
        layout, counts = LAYOUTS[ours.depth]
        block = BasicBlock if layout is JaxBasicBlock else Bottleneck
        for stage, stride in enumerate(ours.strides):
            channels = ours.base_channels * 2**stage
            layer = nn.Sequential()
            for index in range(counts[stage]):
                layer.append(block(width, channels, stride if index == 0 else 1))
                width = block.expansion * channels
            self.add_module(f'layer{stage + 1}', layer)
        self.stages = len(ours.strides)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> pooled features (B, c)."""
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = self.get_submodule(f'layer{stage + 1}')(x)
        return x.mean((2, 3))


class Neck(nn.Module):
    """The twin of `jssl.necks.NonLinearNeck`, with vectors to begin with."""

    def __init__(self, ours: JaxNeck) -> None:
        super().__init__()
        width, last = ours.in_channels, ours.num_layers - 1
        for index in range(last):
            self.add_module(f'fc{index}', nn.Linear(width, ours.hid_channels, ours.with_bias))
            self.add_module(f'bn{index}', nn.BatchNorm1d(ours.hid_channels))
            width = ours.hid_channels
        self.add_module(f'fc{last}', nn.Linear(width, ours.out_channels, ours.with_last_bias))
        norm: Any = nn.BatchNorm1d if ours.with_last_bn else nn.Identity
        self.add_module(f'bn{last}', norm(ours.out_channels))
        self.layers = ours.num_layers

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels) -> (B, out_channels)."""
        for index in range(self.layers):
            x = functional.relu(x) if index else x
            x = self.get_submodule(f'bn{index}')(self.get_submodule(f'fc{index}')(x))
        return x


class SwAVNeck(nn.Module):
    """The twin of `jssl.necks.SwAVNeck` with a hidden layer."""

    def __init__(self, ours: JaxSwAVNeck) -> None:
        super().__init__()
        self.projection_neck = nn.ModuleDict(
            {
                '0': nn.Linear(ours.in_channels, ours.hid_channels),
                '3': nn.Linear(ours.hid_channels, ours.out_channels),
            }
        )
        self.bn = nn.BatchNorm1d(ours.hid_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels) -> unit vectors (B, out_channels)."""
        hidden = functional.relu(self.bn(self.projection_neck['0'](x)))
        return functional.normalize(self.projection_neck['3'](hidden))
