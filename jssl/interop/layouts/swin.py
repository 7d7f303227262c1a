"""Swin transformers of MMPretrain, the authors, timm, torchvision and Hugging Face.

All have one network. What differs besides names: all but MMPretrain flatten the 2 x 2 tokens that
are merged position by position, columns slow; timm merges at the start of a stage; and windows are
shifted otherwise where a map is not made of whole ones, see `ShiftedWindowAttention.shifting`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.interop.layouts.layout import (
    IMAGENET,
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
from jssl.layers.relative_attention import relative_positions

PATCH = 'patch_embed.projection'
STAGE, TABLE = 'stages.{}.blocks.{}', 'attn.w_msa.relative_position_bias_table'
INDEX = 'attn.w_msa.relative_position_index'
MERGED = ('.downsample.norm.weight', '.downsample.norm.bias', '.downsample.reduction.weight')
EPSILON = 1e-5  # of the norms of all published ones
MOST_STAGES = 4


def describe_swin(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """The section of a config that builds the Swin transformer of these arrays.

    The size of images, which none tells that has no absolute positions, is the one at which the
    last map is one window, as with all published ones.

    Raises:
      JsslError: they are no Swin transformer, or one with windows, widths or norms that jssl's
        does not have.
    """
    width, _, patch, _ = shape_of(arrays, f'{PATCH}.weight', 4)
    stages = count(arrays, 'stages.')
    tables = [shape_of(arrays, f'stages.{n}.blocks.0.{TABLE}', 2) for n in range(stages)]
    windows = {_window(entries) for entries, _ in tables}
    hidden = shape_of(arrays, 'stages.0.blocks.0.ffn.layers.0.0.weight', 2)[0]
    options = {key: value for key, value in fields.items() if key != 'num_heads'}
    epsilon = options.pop('norm_epsilon', EPSILON)
    if len(windows) > 1 or hidden != 4 * width or epsilon != EPSILON:
        raise JsslError(
            f'It has windows of {", ".join(map(str, sorted(windows)))} tokens a side, feed-forward '
            f'networks {hidden} wide at a width of {width} and norms with an epsilon of {epsilon}; '
            f"jssl's SwinTransformer has one window, four times the width and {EPSILON}."
        )
    window = windows.pop()
    table = 'absolute_pos_embed' in arrays
    rows = shape_of(arrays, 'absolute_pos_embed', 3)[1] if table else 0
    return {
        'type': 'SwinTransformer',
        'arch': {
            'embed_dims': width,
            'depths': tuple(count_alike(arrays, f'stages.{n}.blocks.') for n in range(stages)),
            'num_heads': tuple(heads for _, heads in tables),
        },
        'img_size': patch * (math.isqrt(rows) if table else window * 2 ** (stages - 1)),
        'patch_size': patch,
        'window_size': window,
        'out_indices': (stages - 1,),
        'use_abs_pos_embed': table,
    } | options


def _window(entries: int) -> int:
    """Tokens along a side of the windows whose table has so many entries."""
    side = math.isqrt(entries)
    if side * side != entries or side % 2 == 0:
        raise JsslError(f'A table of relative positions has {entries} entries, no odd square.')
    return side // 2 + 1


def _incoming(arrays: Arrays) -> Arrays:
    """The last norm by our name, merged tokens channel by channel, no table of an index."""
    arrays = {key: value for key, value in arrays.items() if not key.endswith(INDEX)}
    arrays = renamed(arrays, {'norm': last_norm(arrays)})
    return _merging(arrays, lambda channels: (2, 2, channels))


def _outgoing(arrays: Arrays, network: Any) -> Arrays:
    """The reverse; what hides patches in pre-training is not there."""
    del network
    arrays = renamed(arrays, {last_norm(arrays): 'norm'})
    arrays.pop('mask_token', None)
    return _merging(arrays, lambda channels: (channels, 2, 2))


def _outgoing_indexed(arrays: Arrays, network: Any) -> Arrays:
    """As `_outgoing`, with the index of each table, which is among torchvision's arrays."""
    index = relative_positions(network.window_size).reshape(-1).astype(np.int64)
    keys = [key.replace(TABLE, INDEX) for key in arrays if key.endswith(TABLE)]
    return _outgoing(arrays, network) | dict.fromkeys(keys, index)


def _merging(arrays: Arrays, shape: Callable[[int], tuple[int, int, int]]) -> Arrays:
    """What merges tokens in the other order of its last axis.

    Args:
      arrays: in our names.
      shape: of that axis, given the number of channels: theirs is (columns, rows, channels) and
        ours the reverse, so that each is the other one with two axes swapped.
    """
    done = dict(arrays)
    for key, value in arrays.items():
        if key.endswith(MERGED) and value.ndim and value.shape[-1] % 4 == 0:
            parts = value.reshape(*value.shape[:-1], *shape(value.shape[-1] // 4))
            done[key] = parts.swapaxes(-1, -3).reshape(value.shape)
    return done


def _merges(first: int, theirs: Callable[[int], str]) -> Names:
    """The names of what merges tokens after each stage, of which theirs has those from `first`."""
    return {
        f'stages.{stage}.downsample.{part}': f'{theirs(stage + first)}.{part}'
        for stage in range(MOST_STAGES - 1)
        for part in ('norm', 'reduction')
    }


NORMS: Names = {'norm1': 'norm1', 'norm2': 'norm2'}
ATTENTION: Names = {
    'attn.w_msa.qkv': 'attn.qkv',
    'attn.w_msa.proj': 'attn.proj',
    TABLE: 'attn.relative_position_bias_table',
}
MLP: Names = {'ffn.layers.0.0': 'mlp.fc1', 'ffn.layers.1': 'mlp.fc2'}
STEM: Names = {PATCH: 'patch_embed.proj', 'patch_embed.norm': 'patch_embed.norm', 'norm': 'norm'}
BLOCKS = inside(STAGE, 'layers.{}.blocks.{}', NORMS | ATTENTION | MLP)
TOKENS: Names = {'absolute_pos_embed': 'absolute_pos_embed', 'mask_token': 'mask_token'}
OF_TORCHVISION = NORMS | ATTENTION | {INDEX: 'attn.relative_position_index'}
OF_TORCHVISION |= {'ffn.layers.0.0': 'mlp.0', 'ffn.layers.1': 'mlp.3'}
HF_NORMS: Names = {'norm1': 'layernorm_before', 'norm2': 'layernorm_after'}
HF_FILE: Names = {
    'attn.w_msa.qkv': tuple(f'attention.self.{name}' for name in ('query', 'key', 'value')),
    'attn.w_msa.proj': 'attention.output.dense',
    TABLE: 'attention.self.relative_position_bias_table',
    'ffn.layers.0.0': 'intermediate.dense',
    'ffn.layers.1': 'output.dense',
}
HF_NOW: Names = MLP | {
    'attn.w_msa.qkv': tuple(f'attention.{name}_proj' for name in 'qkv'),
    'attn.w_msa.proj': 'attention.o_proj',
    TABLE: 'attention.relative_position_bias.relative_position_bias_table',
}

TIMM = Layout(
    'timm-swin',
    "timm's Swin transformer",
    describe_swin,
    (f'{STEM[PATCH]}.weight', 'layers.0.blocks.0.attn.qkv.weight'),
    STEM | BLOCKS | _merges(1, 'layers.{}.downsample'.format),
    wrappers=('', 'model.', 'module.'),
    apart=('head.',),
    incoming=_incoming,
    outgoing=_outgoing,
    kind='SwinTransformer',
    activations={'gelu': 'gelu'},
    fields={'shifting': 'before_padding'},
    width=last_width,
)
# The same names but for the merging of tokens, which stands in the stage before.
OFFICIAL = dataclasses.replace(
    TIMM,
    name='swin',
    title='a Swin transformer of its authors, or of SimMIM',
    signs=(*TIMM.signs, 'layers.0.downsample.norm.weight'),
    names=STEM | TOKENS | BLOCKS | _merges(0, 'layers.{}.downsample'.format),
    wrappers=('', 'encoder.', 'module.encoder.', 'module.'),
    fields={},
    images=IMAGENET,
)
TORCHVISION = dataclasses.replace(
    TIMM,
    name='torchvision-swin',
    title="torchvision's Swin transformer",
    signs=('features.0.0.weight', 'features.1.0.attn.qkv.weight'),
    names={PATCH: 'features.0.0', 'patch_embed.norm': 'features.0.2', 'norm': 'norm'}
    | {
        ours: theirs
        for stage in range(MOST_STAGES)
        for ours, theirs in inside(
            f'stages.{stage}.blocks.{{}}', f'features.{2 * stage + 1}.{{}}', OF_TORCHVISION
        ).items()
    }
    | _merges(0, lambda stage: f'features.{2 * stage + 2}'),
    wrappers=('',),
    outgoing=_outgoing_indexed,
    fields={'shifting': 'by_axis', 'pad_small_map': True},
    images=IMAGENET,
)
HUGGING_FACE = dataclasses.replace(
    TIMM,
    name='hf-swin',
    title='the Swin transformer of Hugging Face',
    signs=(
        'embeddings.patch_embeddings.projection.weight',
        'encoder.layers.0.blocks.0.layernorm_before.weight',
    ),
    names={
        PATCH: 'embeddings.patch_embeddings.projection',
        'patch_embed.norm': 'embeddings.norm',
        'absolute_pos_embed': 'embeddings.position_embeddings',
        'mask_token': 'embeddings.mask_token',
        'norm': 'layernorm',
    }
    | inside(STAGE, 'encoder.layers.{}.blocks.{}', HF_NORMS | HF_FILE)
    | _merges(0, 'encoder.layers.{}.downsample'.format),
    also=(inside(STAGE, 'encoder.layers.{}.blocks.{}', HF_NOW),),
    wrappers=('', 'swin.'),
    apart=(),
    fields={},
)
MMPRETRAIN = Layout(
    'mmpretrain-swin',
    'a Swin transformer of MMSelfSup or MMPretrain',
    describe_swin,
    (f'{PATCH}.weight', 'stages.0.blocks.0.attn.w_msa.qkv.weight'),
    wrappers=('', 'backbone.'),
    kind='SwinTransformer',
    activations={'gelu': 'gelu'},
    width=last_width,
)
LAYOUTS = (OFFICIAL, TIMM, TORCHVISION, HUGGING_FACE, MMPRETRAIN)
