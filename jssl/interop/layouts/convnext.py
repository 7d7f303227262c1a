"""ConvNeXts of both versions, of MMPretrain, the authors, timm and Hugging Face.

All have one network, but that Hugging Face gives the last norm another epsilon. The authors' runs
of FCMAE keep the kernels of sparse convolutions, whose places are counted column by column.
"""

import dataclasses
import math
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
    count_alike,
    inside,
    shape_of,
)
from jssl.interop.layouts.stages import last_norm, last_width, renamed

STEM, STEM_NORM, BLOCK = 'downsample_layers.0.0', 'downsample_layers.0.1', 'stages.{}.{}'
LINEAR = ('.pointwise_conv1.weight', '.pointwise_conv2.weight')
FLAT = ('.bias', '.gamma', '.beta')
# timm has convolutions for linear layers in all models narrower than 'tiny'.
NARROW = 96


def describe_convnext(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """The section of a config that builds the ConvNeXt of these arrays.

    Raises:
      JsslError: they are no ConvNeXt, or one with other kernels or hidden widths than jssl's.
    """
    stages = range(count(arrays, 'stages.'))
    patch = shape_of(arrays, f'{STEM}.weight', 4)[2]
    convolutions = [f'downsample_layers.{n}.{1 if n else 0}.weight' for n in stages]
    channels = tuple(shape_of(arrays, key, 4)[0] for key in convolutions)
    kernel = shape_of(arrays, 'stages.0.0.depthwise_conv.weight', 4)[2:]
    hidden = shape_of(arrays, 'stages.0.0.pointwise_conv1.weight', 2)[0]
    if kernel != (7, 7) or hidden != 4 * channels[0]:
        raise JsslError(
            f'Its depthwise kernels are {kernel[0]} x {kernel[1]} and its linear layers {hidden} '
            f"wide at a width of {channels[0]}; those of jssl's ConvNeXt are 7 x 7 and four times "
            'the width.'
        )
    depths = tuple(count_alike(arrays, f'stages.{n}.') for n in stages)
    options = {key: value for key, value in fields.items() if key != 'num_heads'}
    return {
        'type': 'ConvNeXt',
        'arch': {'depths': depths, 'channels': channels},
        'stem_patch_size': patch,
        'out_indices': (len(depths) - 1,),
        'final_norm': f'{last_norm(arrays)}.weight' in arrays,
        'use_grn': 'stages.0.0.grn.gamma' in arrays,
        'layer_scale': 1e-6 if 'stages.0.0.gamma' in arrays else None,
    } | options


def _incoming(arrays: Arrays) -> Arrays:
    """The last norm by our name, and every array with as many axes as we have."""
    arrays = renamed(arrays, {'norm': last_norm(arrays)})
    return {key: _shaped(key, value) for key, value in arrays.items()}


def _shaped(key: str, value: np.ndarray) -> np.ndarray:
    if key.endswith(FLAT) and value.ndim > 1 and value.size == value.shape[-1]:
        return value.reshape(-1)
    if key.endswith(LINEAR) and value.ndim == 4 and value.shape[2:] == (1, 1):
        return value[:, :, 0, 0]
    if key.endswith('depthwise_conv.weight') and value.ndim == 2:
        return _dense(value[:, None])
    if key.startswith('downsample_layers.') and value.ndim == 3:
        return _dense(value)
    return value


def _dense(kernel: np.ndarray) -> np.ndarray:
    """The kernel (places, in, out) of a sparse convolution as (out, in, rows, columns)."""
    side = math.isqrt(kernel.shape[0])
    if side * side != kernel.shape[0]:
        return kernel
    return kernel.reshape(side, side, *kernel.shape[1:]).transpose(3, 2, 1, 0)


def _outgoing(arrays: Arrays, network: Any) -> Arrays:
    if not (network.final_norm and network.gap_before_final_norm):
        raise JsslError(
            "Other libraries' ConvNeXts normalise the mean of the last map, and this network has "
            f'final_norm={network.final_norm} and gap_before_final_norm='
            f'{network.gap_before_final_norm}; export it as safetensors.'
        )
    return renamed(arrays, {last_norm(arrays): 'norm'})


def _to_timm(arrays: Arrays, network: Any) -> Arrays:
    arrays = _outgoing(arrays, network)
    if network.size.channels[0] >= NARROW:
        return arrays
    return {
        key: value[:, :, None, None] if key.endswith(LINEAR) else value
        for key, value in arrays.items()
    }


def _to_hugging_face(arrays: Arrays, network: Any) -> Arrays:
    return {
        key: value.reshape(1, 1, 1, -1) if '.grn.' in key else value
        for key, value in _outgoing(arrays, network).items()
    }


def _blocks(block: str, convolution: str, norm: str, linear: str, more: Names) -> Names:
    """The names of all blocks, each of which begins as `block` says."""
    names: Names = {'depthwise_conv': convolution, 'norm': norm}
    names |= {f'pointwise_conv{n}': f'{linear}{n}' for n in (1, 2)}
    return inside(BLOCK, block, names | more)


def _merges(theirs: str) -> Names:
    """The names of the norm and the convolution before a stage."""
    return {f'downsample_layers.{{}}.{n}': f'{theirs}.{n}' for n in (0, 1)}


OFFICIAL = Layout(
    'convnext',
    'a ConvNeXt of its authors',
    describe_convnext,
    (f'{STEM}.weight', f'{STEM_NORM}.weight', 'stages.0.0.dwconv.bias'),
    {'norm': 'norm'}
    | _merges('downsample_layers.{}')
    | _blocks(
        'stages.{}.{}',
        'dwconv',
        'norm',
        'pwconv',
        {'gamma': 'gamma', 'grn.gamma': 'grn.gamma', 'grn.beta': 'grn.beta'},
    ),
    # Of runs of FCMAE, whose convolutions and linear layers are sparse.
    also=(
        {
            'downsample_layers.{}.0': 'downsample_layers.{}.0.ln',
            'downsample_layers.{}.1.weight': 'downsample_layers.{}.1.kernel',
            f'{BLOCK}.depthwise_conv.weight': 'stages.{}.{}.dwconv.kernel',
            f'{BLOCK}.norm': 'stages.{}.{}.norm.ln',
        }
        | {f'{BLOCK}.pointwise_conv{n}': f'stages.{{}}.{{}}.pwconv{n}.linear' for n in (1, 2)},
    ),
    wrappers=('', 'encoder.', 'module.encoder.', 'module.'),
    apart=('head.',),
    incoming=_incoming,
    outgoing=_outgoing,
    kind='ConvNeXt',
    activations={'gelu': 'gelu'},
    view=224,
    width=last_width,
)
TIMM = dataclasses.replace(
    OFFICIAL,
    name='timm-convnext',
    title="timm's ConvNeXt",
    signs=('stem.0.weight', 'stem.1.weight', 'stages.0.blocks.0.conv_dw.weight'),
    names={
        STEM: 'stem.0',
        STEM_NORM: 'stem.1',
        'norm': 'head.norm',
    }
    | _merges('stages.{}.downsample')
    | _blocks(
        'stages.{}.blocks.{}',
        'conv_dw',
        'norm',
        'mlp.fc',
        {'gamma': 'gamma', 'grn.gamma': 'mlp.grn.weight', 'grn.beta': 'mlp.grn.bias'},
    ),
    also=(),
    wrappers=('', 'model.', 'module.'),
    apart=('head.fc.',),
    outgoing=_to_timm,
)
HUGGING_FACE = dataclasses.replace(
    OFFICIAL,
    name='hf-convnext',
    title='the ConvNeXt of Hugging Face',
    signs=('embeddings.patch_embeddings.weight', 'encoder.stages.0.layers.0.dwconv.weight'),
    names={
        STEM: 'embeddings.patch_embeddings',
        STEM_NORM: 'embeddings.layernorm',
        'norm': 'layernorm',
    }
    | _merges('encoder.stages.{}.downsampling_layer')
    | _blocks(
        'encoder.stages.{}.layers.{}',
        'dwconv',
        'layernorm',
        'pwconv',
        {'gamma': 'layer_scale_parameter', 'grn.gamma': 'grn.weight', 'grn.beta': 'grn.bias'},
    ),
    also=(),
    wrappers=('', 'convnextv2.', 'convnext.'),
    apart=(),
    outgoing=_to_hugging_face,
    fields={'norm_epsilon': 1e-12},
)
MMPRETRAIN = Layout(
    'mmpretrain-convnext',
    'a ConvNeXt of MMPretrain',
    describe_convnext,
    (f'{STEM}.weight', 'stages.0.0.depthwise_conv.weight'),
    wrappers=('', 'backbone.'),
    kind='ConvNeXt',
    activations={'gelu': 'gelu'},
    view=224,
    width=last_width,
)
LAYOUTS = (OFFICIAL, TIMM, HUGGING_FACE, MMPRETRAIN)
