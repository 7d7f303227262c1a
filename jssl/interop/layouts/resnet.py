"""Residual networks: nearly all have the names of torchvision, which jssl has too.

Hugging Face has others, and timm for those with a stem of three convolutions (ResNet-D).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.interop.layouts.layout import (
    Arrays,
    Layout,
    Names,
    Network,
    count,
    inside,
    shape_of,
    token_width,
)

RESNETS: dict[tuple[tuple[int, ...], bool], int] = {
    ((1, 1, 1, 1), False): 10,  # jssl's own, for small experiments
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
COUNTER = 'num_batches_tracked'
ENCODERS = ('module.base_encoder.', 'module.encoder_q.', 'teacher.backbone.', 'module.backbone.')


def describe_resnet(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """The section of a config that builds a ResNet or ResNeXt with the stem of ImageNet.

    Raises:
      JsslError: they are no such network.
    """
    width, _, side, _ = shape_of(arrays, 'conv1.weight', 4)
    return _described('ResNet', arrays, width, side == 7) | dict(fields)


def describe_deep(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """As `describe_resnet`, of a network with a stem of three convolutions.

    Raises:
      JsslError: they are no such network.
    """
    width = shape_of(arrays, 'stem.2.conv.weight', 4)[0]
    return _described('ResNetV1d', arrays, width, True) | dict(fields)


def _described(kind: str, arrays: Arrays, width: int, usual: bool) -> Network:
    blocks = tuple(count(arrays, f'layer{stage}.') for stage in (1, 2, 3, 4))
    bottleneck = 'layer1.0.conv3.weight' in arrays
    depth = RESNETS.get((blocks, bottleneck))
    middle, group, *_ = shape_of(arrays, 'layer1.0.conv2.weight', 4)
    plain = (middle, group) == (width, width)
    grouped = kind == 'ResNet' and bottleneck and middle % group == 0
    if depth is None or not usual or not (plain or grouped):
        raise JsslError(
            f'A residual network with {blocks} blocks, {middle} channels in groups of {group} at a '
            f'width of {width}, and this stem, is none of the usual ones.'
        )
    network = {'type': kind, 'depth': depth, 'base_channels': width}
    if plain:
        return network
    groups = {'groups': middle // group, 'width_per_group': group}
    return network | {'type': 'ResNeXt'} | groups


def _last_width(arrays: Mapping[str, np.ndarray]) -> int | None:
    norms = [np.size(value) for key, value in arrays.items() if key.startswith('layer4.0.bn')]
    return max(norms, default=None)


def _outgoing(arrays: Arrays, network: Any) -> Arrays:
    """Only what others have too, with the counters of PyTorch's batch norms."""
    check_stem(network, arrays)
    return _counted(arrays)


def check_stem(network: Any, arrays: Arrays) -> None:
    """Raises a `JsslError` for a `network` with a stem that other libraries do not have."""
    kind, side = type(network).__name__, shape_of(arrays, 'conv1.weight', 4)[2]
    ways = 'give --to=safetensors or --to=npz, which jssl.load reads, or --to=stablehlo'
    if any(key.startswith('sobel_layer.') for key in arrays):
        raise JsslError(f'No other library has a {kind}, which sees gradients; {ways}.')
    if side != 7:
        raise JsslError(
            f'This {kind} begins with a convolution of {side} x {side}, where those of other '
            f'libraries have one of 7 x 7; {ways}. A run for other libraries has '
            '--config.model.backbone.cifar_stem=False.'
        )


def _counted(arrays: Arrays, network: Any = None) -> Arrays:
    """With the counters of PyTorch's batch norms."""
    del network
    counters = {
        key.replace('running_mean', COUNTER): np.zeros((), np.int64)
        for key in arrays
        if key.endswith('running_mean')
    }
    return arrays | counters


def _uncounted(arrays: Arrays) -> Arrays:
    return {key: value for key, value in arrays.items() if not key.endswith(COUNTER)}


def _told(config: Mapping[str, Any]) -> dict[str, Any]:
    """Where the network strides, of which no array tells."""
    if config.get('hidden_act', 'relu') != 'relu':
        raise JsslError(
            f'Its config.json has hidden_act={config["hidden_act"]!r}, where the residual networks '
            'of jssl have relu.'
        )
    style = {'style': 'caffe'} if config.get('downsample_in_bottleneck') is True else {}
    first = {'strides': (2, 2, 2, 2)} if config.get('downsample_in_first_stage') is True else {}
    return style | first


def _of_hugging_face() -> Names:
    names: Names = {
        'conv1': 'embedder.embedder.convolution',
        'bn1': 'embedder.embedder.normalization',
    }
    for stage in range(4):
        theirs = f'encoder.stages.{stage}.layers.{{}}'
        parts: Names = {
            'downsample.0': 'shortcut.convolution',
            'downsample.1': 'shortcut.normalization',
        }
        for layer in range(3):
            parts[f'conv{layer + 1}'] = f'layer.{layer}.convolution'
            parts[f'bn{layer + 1}'] = f'layer.{layer}.normalization'
        names |= inside(f'layer{stage + 1}.{{}}', theirs, parts)
    return names


def _of_deep() -> Names:
    """timm's names: in the stem activations are counted, in each shortcut what averages."""
    names: Names = {'stem.2.bn': 'bn1'}
    for layer in range(3):
        names[f'stem.{layer}.conv'] = f'conv1.{3 * layer}'
        names.setdefault(f'stem.{layer}.bn', f'conv1.{3 * layer + 1}')
    names |= {f'layer1.0.downsample.{n}': f'layer1.0.downsample.{n + 1}' for n in (0, 1)}
    for stage in range(1, 5):
        parts = [f'{kind}{n}' for kind in ('conv', 'bn') for n in (1, 2, 3)]
        parts += [f'downsample.{n}' for n in (1, 2) if stage > 1]
        names |= {f'layer{stage}.{{}}.{part}': f'layer{stage}.{{}}.{part}' for part in parts}
    return names


RESNET = Layout(
    'resnet',
    'a residual network',
    describe_resnet,
    ('conv1.weight', 'bn1.running_var', 'layer1.0.conv1.weight', 'layer4.0.conv1.weight'),
    wrappers=('', 'backbone.', *ENCODERS),
    apart=('fc.',),
    outgoing=_outgoing,
    kind='ResNet',
    view=224,
    activations={'relu': 'relu'},
    width=_last_width,
)
HUGGING_FACE = dataclasses.replace(
    RESNET,
    name='hf-resnet',
    title='the residual network of Hugging Face',
    signs=(
        'embedder.embedder.convolution.weight',
        'encoder.stages.0.layers.0.layer.0.convolution.weight',
    ),
    names=_of_hugging_face(),
    wrappers=('', 'resnet.'),
    apart=(),
    incoming=_uncounted,
    told=_told,
    width=token_width,  # what it is in a config there is read by `told` alone
)
TIMM_DEEP = dataclasses.replace(
    RESNET,
    name='timm-resnetd',
    title="timm's residual network with a stem of three convolutions (ResNet-D)",
    describe=describe_deep,
    signs=('conv1.0.weight', 'conv1.6.weight', 'bn1.running_var', 'layer4.0.conv1.weight'),
    names=_of_deep(),
    wrappers=('', 'model.', 'module.'),
    incoming=_uncounted,
    outgoing=_counted,
    kind='ResNetV1d',
)
# Whose ResNets have any stem, under the same names.
MMPRETRAIN = dataclasses.replace(RESNET, outgoing=_counted)
LAYOUTS = (RESNET, HUGGING_FACE, TIMM_DEEP)
