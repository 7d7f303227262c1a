"""The checkpoints that the repositories of the papers publish; most took over timm's names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.interop.layouts.layout import IMAGENET, Arrays, Layout
from jssl.interop.layouts.timm import NAMES, SIGNS
from jssl.interop.layouts.vit import describe_dinov3, describe_vit, incoming

TEACHERS = ('teacher.backbone.', 'teacher.module.backbone.', 'module.backbone.', 'backbone.')
GATED = {f'layers.{{}}.ffn.{name}': f'blocks.{{}}.mlp.{name}' for name in ('w1', 'w2', 'w3')}
FUSED = {f'layers.{{}}.ffn.{name}': f'blocks.{{}}.mlp.{name}' for name in ('w12', 'w3')}
MASK = '.attn.qkv.bias_mask'
DINOV2_NAMES = NAMES | FUSED | {'register_tokens': 'register_tokens', 'mask_token': 'mask_token'}
# Training splits the blocks into chunks, and goes on counting.
CHUNKED = {ours: name.replace('blocks.{}', 'blocks.*.{}') for ours, name in DINOV2_NAMES.items()}
DINOV3_NAMES = (
    NAMES
    | GATED
    | {'register_tokens': 'storage_tokens', 'mask_token': 'mask_token'}
    | {f'layers.{{}}{MASK}': f'blocks.{{}}{MASK}'}
)
OFFSET: Mapping[str, Any] = {'interpolation': 'offset'}


def _masked(arrays: Arrays) -> Arrays:
    """Biases times their masks, which leave out the key's third."""
    kept = {key: value for key, value in arrays.items() if not key.endswith(MASK)}
    for key in arrays.keys() - kept.keys():
        bias = key.removesuffix('_mask')
        if bias in kept and np.shape(kept[bias]) == np.shape(arrays[key]):
            kept[bias] = kept[bias] * arrays[key]
    return incoming(kept)


OF_MAE = Layout(
    'mae',
    "MAE's vision transformer with its decoder",
    describe_vit,
    (*SIGNS, 'decoder_embed.weight'),
    NAMES,
    apart=('decoder_', 'mask_token'),
    incoming=incoming,
    images=IMAGENET,
)
OF_MOCOV3 = Layout(
    'mocov3',
    "MoCo v3's vision transformer",
    describe_vit,
    SIGNS,
    NAMES,
    wrappers=('module.base_encoder.', 'base_encoder.'),
    apart=('head.',),
    incoming=incoming,
    fields={'num_heads': 12},
    images=IMAGENET,
)
OF_IJEPA = Layout(
    'ijepa',
    "I-JEPA's target encoder",
    describe_vit,
    SIGNS,
    NAMES,
    wrappers=('target_encoder.module.', 'target_encoder.'),
    incoming=incoming,
    images=IMAGENET,
)
OF_DINOV3 = Layout(
    'dinov3',
    "DINOv3's vision transformer",
    describe_dinov3,
    (*SIGNS, 'storage_tokens', 'rope_embed.periods'),
    DINOV3_NAMES,
    wrappers=('', *TEACHERS),
    apart=('rope_embed.',),
    incoming=_masked,
    view=256,
)
OF_DINOV2_REGISTERS = Layout(
    'dinov2-registers',
    "DINOv2's vision transformer with registers",
    describe_vit,
    (*SIGNS, 'register_tokens'),
    DINOV2_NAMES,
    wrappers=('', *TEACHERS),
    incoming=incoming,
    fields={'interpolation': 'antialiased'},
    view=224,
    images=IMAGENET,
)
OF_DINOV2 = dataclasses.replace(
    OF_DINOV2_REGISTERS,
    name='dinov2',
    title="DINOv2's vision transformer",
    signs=(*SIGNS, 'mask_token', 'blocks.0.ls1.gamma'),
    fields=OFFSET,
)
OF_DINOV2_TRAINING = dataclasses.replace(
    OF_DINOV2,
    name='dinov2-training',
    title="DINOv2's vision transformer from a run of its training",
    signs=('patch_embed.proj.weight', 'blocks.0.0.attn.qkv.weight'),
    names=CHUNKED,
)
OF_IBOT = Layout(
    'ibot',
    "iBOT's vision transformer",
    describe_vit,
    (*SIGNS, 'masked_embed'),
    NAMES | {'mask_token': 'masked_embed'},
    wrappers=('', *TEACHERS, 'student.module.backbone.'),
    apart=('head.',),
    incoming=incoming,
    fields=OFFSET,
    images=IMAGENET,
)
OF_DINO = Layout(
    'dino',
    "DINO's vision transformer",
    describe_vit,
    SIGNS,
    NAMES,
    wrappers=(*TEACHERS, ''),  # a bare one is taken for timm's, unless it is asked for
    apart=('head.',),
    incoming=incoming,
    fields=OFFSET,
    images=IMAGENET,
)
LAYOUTS = (
    OF_MAE,
    OF_MOCOV3,
    OF_IJEPA,
    OF_DINOV3,
    OF_DINOV2_REGISTERS,
    OF_DINOV2,
    OF_DINOV2_TRAINING,
    OF_IBOT,
)
