"""Networks whose names are those of jssl: MMSelfSup's and MMPretrain's, and every ResNet's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.interop.layouts.layout import Arrays, Layout, Network, count, shape_of
from jssl.interop.layouts.vit import PATCH, describe_vit

RESNETS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
ENCODERS = ('module.base_encoder.', 'module.encoder_q.', 'teacher.backbone.', 'module.backbone.')


def describe_resnet(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """The section of a config that builds a ResNet with the stem of ImageNet.

    Raises:
      JsslError: they are no such network.
    """
    width, _, side, _ = shape_of(arrays, 'conv1.weight', 4)
    blocks = tuple(count(arrays, f'layer{stage}.') for stage in (1, 2, 3, 4))
    bottleneck = 'layer1.0.conv3.weight' in arrays
    depth = RESNETS.get((blocks, bottleneck))
    middle = shape_of(arrays, 'layer1.0.conv2.weight', 4)
    if depth is None or side != 7 or middle[:2] != (width, width):
        raise JsslError(
            f'A residual network with {blocks} blocks, {middle[:2]} channels and a stem of '
            f'{side} x {side} is none of the usual ones.'
        )
    return {'type': 'ResNet', 'depth': depth, 'base_channels': width} | dict(fields)


def _outgoing(arrays: Arrays, network: Any) -> Arrays:
    """Only what others have too, with the counters of PyTorch's batch norms."""
    if shape_of(arrays, 'conv1.weight', 4)[2:] != (7, 7):
        raise JsslError(
            f'This {type(network).__name__} has another stem than the ResNets of other libraries, '
            'a convolution of 7 x 7; export it as safetensors.'
        )
    counters = {
        key.replace('running_mean', 'num_batches_tracked'): np.zeros((), np.int64)
        for key in arrays
        if key.endswith('running_mean')
    }
    return arrays | counters


RESNET = Layout(
    'resnet',
    'a residual network',
    describe_resnet,
    ('conv1.weight', 'bn1.running_var', 'layer1.0.conv1.weight', 'layer4.0.conv1.weight'),
    wrappers=('', 'backbone.', *ENCODERS),
    apart=('fc.',),
    outgoing=_outgoing,
    kind='ResNet',
)
VIT = Layout(
    'mmpretrain-vit',
    'a vision transformer of MMSelfSup or MMPretrain',
    describe_vit,
    (f'{PATCH}.weight', 'layers.0.attn.qkv.weight', 'layers.0.ffn.layers.0.0.weight'),
    wrappers=('', 'backbone.'),
)
LAYOUTS = (RESNET, VIT)
