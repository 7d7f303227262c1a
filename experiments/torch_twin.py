"""The PyTorch side of `torch_simclr.py`: SimCLR on a ResNet in plain `torch.nn`.

Sub-modules carry the reference's names, so that `jssl.interop.mmselfsup.export_state` gives their
weights. Everything is written as PyTorch's users write it: nothing here is slowed down.
"""

import dataclasses
from collections.abc import Collection

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import convert_conv2d_weight_memory_format

from jssl.algorithm import Params, State
from jssl.algorithms import SimCLR
from jssl.backbones.resnet import LAYOUTS
from jssl.backbones.resnet import BasicBlock as JaxBasicBlock
from jssl.backbones.resnet import ResNet as JaxResNet
from jssl.errors import JsslError
from jssl.interop.mmselfsup import export_state
from jssl.necks import NonLinearNeck as JaxNeck

# The fields that the twin follows; `zero_init_residual` is in the weights, which are copied.
GEOMETRY = ('depth', 'base_channels', 'strides', 'cifar_stem', 'cifar_stem_stride')
BACKBONE = (*GEOMETRY, 'zero_init_residual', 'out_indices', 'parent', 'name')
NECK = ('in_channels', 'hid_channels', 'out_channels', 'parent', 'name')


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
    """The twin of `jssl.necks.NonLinearNeck` with two layers and no bias."""

    def __init__(self, ours: JaxNeck) -> None:
        super().__init__()
        self.fc0 = nn.Linear(ours.in_channels, ours.hid_channels, bias=False)
        self.bn0 = nn.BatchNorm1d(ours.hid_channels)
        self.fc1 = nn.Linear(ours.hid_channels, ours.out_channels, bias=False)
        self.bn1 = nn.BatchNorm1d(ours.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels) -> (B, out_channels)."""
        return self.bn1(self.fc1(functional.relu(self.bn0(self.fc0(x)))))


class Twin(nn.Module):
    """SimCLR with the loss of `jssl.algorithms.SimCLR`, in `channels_last`.

    Args:
      ours: gives the geometry, the temperature and the weight of the loss.

    Raises:
      JsslError: the model has something that the twin lacks.
    """

    def __init__(self, ours: SimCLR) -> None:
        super().__init__()
        backbone, neck = supported(ours)
        self.backbone = ResNet(backbone)
        self.neck = Neck(neck)
        self.head = ours.head
        convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """NT-Xent of interleaved views (2B, 3, H, W): rows 2i and 2i + 1 are views of one image."""
        z = functional.normalize(self.neck(self.backbone(images)))
        logits = (z @ z.T / self.head.temperature).fill_diagonal_(-torch.inf)
        partner = torch.arange(len(z)) ^ 1
        return self.head.loss_weight * functional.cross_entropy(logits, partner)


def supported(ours: SimCLR) -> tuple[JaxResNet, JaxNeck]:
    """The backbone and neck of a model that the twin computes alike.

    Raises:
      JsslError: names the fields.
    """
    backbone, neck = ours.backbone, ours.neck
    if not isinstance(backbone, JaxResNet) or not isinstance(neck, JaxNeck):
        raise JsslError(
            'The comparison knows the backbone ResNet with the neck NonLinearNeck only.'
        )
    wrong = [*unknown(backbone, BACKBONE), *unknown(neck, NECK)]
    if tuple(backbone.out_indices) != (len(backbone.strides),):
        wrong.append(f'out_indices={backbone.out_indices!r}')
    if wrong:
        raise JsslError(
            f'The comparison with PyTorch cannot have {", ".join(wrong)}: it covers float32, batch '
            'norm over the whole batch, the last stage and a neck of two layers without bias.'
        )
    return backbone, neck


def unknown(module: JaxResNet | JaxNeck, understood: Collection[str]) -> list[str]:
    """The fields of `module` that are not `understood` and have another value than the default."""
    fields = [field for field in dataclasses.fields(module) if field.name not in understood]
    values = [(field, getattr(module, field.name)) for field in fields if field.init]
    return [f'{field.name}={value!r}' for field, value in values if value != field.default]


def load_weights(twin: Twin, params: Params, state: State) -> None:
    """Copies our parameters and batch statistics into the twin.

    Raises:
      JsslError: a weight has no place in the twin or is missing.
    """
    weights = export_state(params, state)
    tensors = {key: torch.tensor(np.ascontiguousarray(value)) for key, value in weights.items()}
    missing, unexpected = twin.load_state_dict(tensors, strict=False)
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    if missing or unexpected:
        raise JsslError(f'The twin lacks {unexpected[:3]} and was not given {missing[:3]}.')


def interleave(views: tuple[jax.Array, jax.Array]) -> Tensor:
    """Two arrays (B, H, W, 3) -> one tensor (2B, 3, H, W) in `channels_last`: a0 b0 a1 b1 ..."""
    images = np.stack([np.asarray(view) for view in views], axis=1)
    tensor = torch.tensor(images.reshape(-1, *images.shape[2:])).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=torch.channels_last)
