"""timm's vision transformers (DeiT, AugReg, DINOv2 with registers, ...) and those of DINOv3."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.interop.layouts.layout import Arrays, Layout, Names, Network, inside
from jssl.interop.layouts.vit import (
    BIAS,
    FIRST,
    FUSED,
    GATE,
    LAST,
    PATCH,
    SECOND,
    describe_dinov3,
    describe_vit,
    fused,
    incoming,
    no_key_bias,
    no_rotary,
    rotary_base,
    timm_tower,
    whole_bias,
)

BLOCK = {
    'ln1': 'norm1',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    'gamma_1': 'ls1.gamma',
    'ln2': 'norm2',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
    'gamma_2': 'ls2.gamma',
}
# The names that DINO, MAE and others took over from timm.
NAMES = {
    PATCH: 'patch_embed.proj',
    'cls_token': 'cls_token',
    'pos_embed': 'pos_embed',
    'ln1': 'norm',
} | {f'layers.{{}}.{ours}': f'blocks.{{}}.{theirs}' for ours, theirs in BLOCK.items()}
BASE = 100.0
# Where timm's own names for DINOv3 differ.
OF_DINOV3: Names = {
    'gamma_1': 'gamma_1',
    'gamma_2': 'gamma_2',
    'attn.qkv.weight': 'attn.qkv.weight',
    'attn.qkv.bias': ('attn.q_bias', 'attn.k_bias', 'attn.v_bias'),
    'ffn.w1': 'mlp.fc1_g',
    'ffn.w2': 'mlp.fc1_x',
}
SIGNS = ('patch_embed.proj.weight', 'blocks.0.attn.qkv.weight', 'blocks.0.norm1.weight')


def describe_timm(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """As `describe_vit`; without any token of its own it may be a tower of SigLIP.

    Those are the ones whose pooling by attention is left out (`gap`).
    """
    own = ('cls_token', 'register_tokens', 'ln2.weight', 'layers.0.gamma_1')
    tower = {} if any(name in arrays for name in own) else timm_tower(arrays)
    return describe_vit(arrays, tower | dict(fields))


def gated_by_width(arrays: Arrays) -> Arrays:
    """Gated networks are called as others are there, and told by their widths."""
    first, second = (np.shape(arrays.get(f'layers.0{name}.weight', 0)) for name in (FIRST, SECOND))
    if len(first) == len(second) == 2 and first[0] == 2 * second[1]:
        arrays = {key.replace(FIRST, FUSED).replace(SECOND, LAST): arrays[key] for key in arrays}
    return incoming(arrays)


def _outgoing(arrays: Arrays, network: object) -> Arrays:
    """With registers the class token has no row of its own, and its position is added to it."""
    no_rotary('timm', network)
    arrays = fused(whole_bias(arrays, network))
    arrays.pop('mask_token', None)  # which it does not have
    arrays = {key.replace(FUSED, FIRST).replace(LAST, SECOND): arrays[key] for key in arrays}
    if 'register_tokens' in arrays and 'cls_token' in arrays:
        table = arrays['pos_embed']
        arrays['cls_token'] = arrays['cls_token'] + table[:, :1]
        arrays['pos_embed'] = table[:, 1:]
    return arrays


def _dinov3_in(arrays: Arrays) -> Arrays:
    """With a gate the last layer is called as without one."""
    if f'layers.0{GATE}.weight' in arrays:
        arrays = {key.replace(SECOND, LAST): value for key, value in arrays.items()}
    return incoming(arrays)


def _dinov3_out(arrays: Arrays, network: Any) -> Arrays:
    """Biases of query and value that are 0 throughout are left out, as in the plain models."""
    if (base := rotary_base("timm's DINOv3", network)) != BASE:
        raise JsslError(
            f"The rotary positions of timm's DINOv3 have the base {BASE}, and this network {base}; "
            'export it as huggingface or safetensors.'
        )
    arrays = no_key_bias("timm's DINOv3", whole_bias(arrays, network))
    arrays.pop('mask_token', None)  # which it does not have
    arrays = {key.replace(LAST, SECOND): value for key, value in arrays.items()}
    biases = {key: value for key, value in arrays.items() if key.endswith(BIAS)}
    none = not any(value.any() for value in biases.values())
    return {key: value for key, value in arrays.items() if not (none and key in biases)}


VIT = Layout(
    'timm-vit',
    "timm's vision transformer",
    describe_timm,
    SIGNS,
    NAMES | {'register_tokens': 'reg_token', 'ln2': 'fc_norm'},
    wrappers=('', 'model.', 'module.'),
    apart=('head.',),
    incoming=gated_by_width,
    outgoing=_outgoing,
    fields={'interpolation': 'antialiased'},
)
DINOV3 = Layout(
    'timm-dinov3',
    "timm's vision transformer of DINOv3",
    describe_dinov3,
    (*SIGNS, 'reg_token'),
    {ours: theirs for ours, theirs in NAMES.items() if ours != 'layers.{}.attn.qkv'}
    | {'register_tokens': 'reg_token'}
    | inside('layers.{}', 'blocks.{}', OF_DINOV3),
    absent=('pos_embed',),
    wrappers=('', 'model.', 'module.'),
    apart=('head.',),
    incoming=_dinov3_in,
    outgoing=_dinov3_out,
    key_bias=False,
    view=256,
)
