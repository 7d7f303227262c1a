"""The vision transformers of Hugging Face's transformers.

Files on the hub keep the names of before transformers 5, and so does `save_pretrained`; what a
model of transformers 5 calls its parameters is read too.
"""

import dataclasses
from typing import Any

import numpy as np

from jssl.interop.layouts.layout import Arrays, Layout, Names, inside
from jssl.interop.layouts.vit import (
    FIRST,
    GATE,
    LAST,
    PATCH,
    SECOND,
    VALUE,
    describe_dinov3,
    describe_vit,
    fused,
    incoming,
    no_key_bias,
    no_rotary,
    rotary_base,
    whole_bias,
)

TOKENS: Names = {
    'cls_token': 'embeddings.cls_token',
    'pos_embed': 'embeddings.position_embeddings',
    'mask_token': 'embeddings.mask_token',
    'register_tokens': 'embeddings.register_tokens',
    PATCH: 'embeddings.patch_embeddings.projection',
    'ln1': 'layernorm',
}
NOW: Names = {
    'attn.qkv': ('attention.q_proj', 'attention.k_proj', 'attention.v_proj'),
    'attn.proj': 'attention.o_proj',
}
FILE: Names = {
    'attn.qkv': tuple(f'attention.attention.{name}' for name in ('query', 'key', 'value')),
    'attn.proj': 'attention.output.dense',
}
PLAIN: Names = {'ln1': 'layernorm_before', 'ln2': 'layernorm_after'}
SCALED: Names = {
    'ln1': 'norm1',
    'ln2': 'norm2',
    'gamma_1': 'layer_scale1.lambda1',
    'gamma_2': 'layer_scale2.lambda1',
}
MLP: Names = {'ffn.layers.0.0': 'mlp.fc1', 'ffn.layers.1': 'mlp.fc2'}
FILE_MLP: Names = {'ffn.layers.0.0': 'intermediate.dense', 'ffn.layers.1': 'output.dense'}
GATED_FILE: Names = {'ffn.w12': 'mlp.weights_in', 'ffn.w3': 'mlp.weights_out'}
# With a gate the two others are called as without one.
DINOV3_MLP: Names = {
    'ffn.layers.0.0': 'mlp.up_proj',
    'ffn.layers.1': 'mlp.down_proj',
    'ffn.w1': 'mlp.gate_proj',
}
GATED_NOW: Names = {'ffn.w12': ('mlp.gate_proj', 'mlp.up_proj'), 'ffn.w3': 'mlp.down_proj'}


def named(block: str, *groups: Names) -> Names:
    """The names of all blocks, each of which begins as `block` says."""
    names = {ours: theirs for group in groups for ours, theirs in group.items()}
    return inside('layers.{}', block, names)


def _plain_out(arrays: Arrays, network: Any) -> Arrays:
    no_rotary('The vision transformer of Hugging Face', network)
    arrays = whole_bias(arrays, network)
    arrays.pop('mask_token', None)  # which it does not have
    return arrays


def _dinov2_out(arrays: Arrays, network: Any) -> Arrays:
    """It has scales in any case, with registers a mask token too: what is not there is 1, or 0."""
    no_rotary('The vision transformer of Hugging Face', network)
    arrays = scaled(fused(whole_bias(arrays, network)))
    if not {'mask_token', 'register_tokens'} & arrays.keys():
        return arrays
    return arrays | {'mask_token': _mask_token(arrays)[0]}


def _dinov3_in(arrays: Arrays) -> Arrays:
    if f'layers.0{GATE}.weight' in arrays:
        arrays = {key.replace(FIRST, VALUE).replace(SECOND, LAST): arrays[key] for key in arrays}
    return incoming(arrays)


def _dinov3_out(arrays: Arrays, network: Any) -> Arrays:
    """A mask token and registers, of which there may be none, are there in any case."""
    name = "Hugging Face's DINOv3"
    rotary_base(name, network)
    arrays = no_key_bias(name, scaled(whole_bias(arrays, network)))
    if f'layers.0{GATE}.weight' in arrays:
        arrays = {key.replace(VALUE, FIRST).replace(LAST, SECOND): arrays[key] for key in arrays}
    token = _mask_token(arrays)
    registers = arrays.get('register_tokens', token[:, :0])
    return arrays | {'mask_token': token, 'register_tokens': registers}


def _mask_token(arrays: Arrays) -> np.ndarray:
    return arrays.get('mask_token', np.zeros_like(arrays['cls_token']))


def scaled(arrays: Arrays) -> Arrays:
    """Blocks without scales with some of 1."""
    scales = {}
    for key, value in arrays.items():
        for norm, scale in (('.ln1.weight', '.gamma_1'), ('.ln2.weight', '.gamma_2')):
            if key.startswith('layers.') and key.endswith(norm):
                scales[key.replace(norm, scale)] = np.ones_like(value)
    return scales | arrays


VIT = Layout(
    'hf-vit',
    'the vision transformer of Hugging Face (ViT, ViT-MAE, I-JEPA)',
    describe_vit,
    ('embeddings.patch_embeddings.projection.weight', 'encoder.layer.0.layernorm_before.weight'),
    TOKENS | named('encoder.layer.{}', PLAIN, FILE, FILE_MLP),
    wrappers=('', 'vit.', 'ijepa.', 'deit.'),
    apart=('pooler.',),
    incoming=incoming,
    outgoing=_plain_out,
    fields={'norm_epsilon': 1e-12},
)
VIT_NOW = dataclasses.replace(
    VIT,
    name='hf-vit-5',
    title='the vision transformer of Hugging Face, by the names of transformers 5',
    signs=(VIT.signs[0], 'layers.0.layernorm_before.weight'),
    names=TOKENS | named('layers.{}', PLAIN, NOW, MLP),
)
DINOV2 = dataclasses.replace(
    VIT,
    name='hf-dinov2',
    title="DINOv2's vision transformer of Hugging Face",
    signs=(VIT.signs[0], 'encoder.layer.0.layer_scale1.lambda1'),
    names=TOKENS | named('encoder.layer.{}', SCALED, FILE, MLP, GATED_FILE),
    also=(named('encoder.layer.{}', NOW, GATED_NOW),),
    wrappers=('', 'dinov2.', 'dinov2_with_registers.'),
    apart=(),
    outgoing=_dinov2_out,
    fields={},
    view=224,
)
DINOV2_REGISTERS = dataclasses.replace(
    DINOV2,
    name='hf-dinov2-registers',
    title="DINOv2's vision transformer with registers of Hugging Face",
    signs=(*DINOV2.signs, 'embeddings.register_tokens'),
    fields={'interpolation': 'antialiased'},
)
DINOV3 = dataclasses.replace(
    DINOV2,
    name='hf-dinov3',
    title="DINOv3's vision transformer of Hugging Face",
    describe=describe_dinov3,
    signs=('embeddings.patch_embeddings.weight', 'embeddings.register_tokens', 'norm.weight'),
    names=TOKENS
    | {PATCH: 'embeddings.patch_embeddings', 'ln1': 'norm'}
    | named('layer.{}', SCALED, NOW, DINOV3_MLP),
    also=(named('model.layer.{}', SCALED, NOW, DINOV3_MLP),),
    wrappers=('',),
    incoming=_dinov3_in,
    outgoing=_dinov3_out,
    key_bias=False,
    fields={},
    gate=True,
    view=256,
)
LAYOUTS = (DINOV2_REGISTERS, DINOV2, DINOV3, VIT, VIT_NOW)
