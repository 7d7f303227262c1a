"""BEiT, BEiT v2, EVA and EVA-02: biases of query and value alone, and other positions than a table.

timm took over the names of the authors' files, but for those of the parts that EVA-02 adds.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jssl.errors import JsslError
from jssl.interop.layouts.huggingface import (
    FILE,
    FILE_MLP,
    MLP,
    NOW,
    PLAIN,
    TOKENS,
    named,
    scaled,
)
from jssl.interop.layouts.layout import Arrays, Layout, Names, Network
from jssl.interop.layouts.timm import NAMES, SIGNS, gated_by_width
from jssl.interop.layouts.vit import (
    BIASES,
    FIRST,
    FUSED,
    GATE,
    LAST,
    SECOND,
    SHARED,
    describe_vit,
    incoming,
)

ROTARY = {'base': 10000.0, 'reference': 16, 'adjacent': True}
ENORMOUS = 1792  # as wide is the largest EVA-02-CLIP alone, whose norms follow the branches
CLIP = {
    'mean': tuple(255 * value for value in (0.48145466, 0.4578275, 0.40821073)),
    'std': tuple(255 * value for value in (0.26862954, 0.26130258, 0.27577711)),
}
WRAPPERS = ('', 'model.', 'module.', 'visual.trunk.', 'visual.')
HEADS = ('head.', 'lm_head.', 'cls_pt_layers.')  # of classifiers, and of pre-training
OWN_BIASES: Names = {
    'attn.qkv.weight': 'attn.qkv.weight',
    'attn.q_bias': 'attn.q_bias',
    'attn.v_bias': 'attn.v_bias',
}
SPLIT: Names = {
    'attn.qkv.weight': tuple(f'attn.{name}_proj.weight' for name in 'qkv'),
    'attn.q_bias': 'attn.q_proj.bias',
    'attn.v_bias': 'attn.v_proj.bias',
    'ffn.w1': 'mlp.fc1_g',
    'ffn.w2': 'mlp.fc1_x',
    'ffn.w3': 'mlp.fc2',
}
SUB_NORMS: Names = {'attn.ln': 'attn.norm', 'ffn.ln': 'mlp.norm'}
BY_THE_AUTHORS: Names = {
    'attn.q_bias': 'attn.q_bias',
    'attn.v_bias': 'attn.v_bias',
    'attn.ln': 'attn.inner_attn_ln',
    'ffn.ln': 'mlp.ffn_ln',
    **{f'ffn.{name}': f'mlp.{name}' for name in ('w1', 'w2', 'w12', 'w3')},
}
SCALES: Names = {'gamma_1': 'gamma_1', 'gamma_2': 'gamma_2'}
REPLACED = ('.attn.qkv', '.gamma_1', '.gamma_2')
BASE: Names = {
    **{ours: theirs for ours, theirs in NAMES.items() if not ours.endswith(REPLACED)},
    'ln2': 'fc_norm',
    'mask_token': 'mask_token',
}
UNGATED = ('.ffn.layers.0.0', '.ffn.layers.1')


def describe_eva(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """As `describe_vit`; networks with a gate are EVA-02, and have rotary positions too.

    Raises:
      JsslError: they are no such network.
    """
    network = describe_vit(arrays, {'rotary': ROTARY, **fields} if _gated(arrays) else fields)
    if network['arch']['embed_dims'] == ENORMOUS:
        raise JsslError(
            f"An EVA-02 of width {ENORMOUS} has its layer norms after the branches, which jssl's "
            'vision transformers have before them.'
        )
    return network


def _gated(arrays: Arrays) -> bool:
    return any(f'layers.0{name}.weight' in arrays for name in (GATE, FUSED))


def _fused_out(arrays: Arrays, network: object) -> Arrays:
    """timm's gated networks have two layers, of which the first is of both parts."""
    arrays = _without_mask(arrays, network)
    return {key.replace(FUSED, FIRST).replace(LAST, SECOND): arrays[key] for key in arrays}


def _without_mask(arrays: Arrays, network: object) -> Arrays:
    """timm's networks have no mask token."""
    del network
    return {key: value for key, value in arrays.items() if key != 'mask_token'}


BEIT = Layout(
    'beit',
    'the vision transformer of BEiT and BEiT v2',
    describe_vit,
    (*SIGNS, 'blocks.0.attn.q_bias', 'blocks.0.gamma_1'),
    BASE | {SHARED: SHARED} | named('blocks.{}', OWN_BIASES, SCALES, {BIASES: BIASES}),
    wrappers=WRAPPERS,
    apart=HEADS,
    incoming=incoming,
    outgoing=_without_mask,
    fields={'interpolation': 'antialiased', 'bias_interpolation': 'geometric'},
)
EVA = Layout(
    'eva',
    'the vision transformer of EVA, or a small one of EVA-02',
    describe_eva,
    (*SIGNS, 'blocks.0.attn.q_bias', 'pos_embed'),
    BASE | named('blocks.{}', OWN_BIASES, SUB_NORMS),
    also=(named('blocks.{}', BY_THE_AUTHORS),),
    wrappers=WRAPPERS,
    apart=(*HEADS, 'rope.'),
    incoming=gated_by_width,
    outgoing=_fused_out,
    fields={'interpolation': 'antialiased'},
    images=CLIP,
)
EVA02 = dataclasses.replace(
    EVA,
    name='eva02',
    title='the vision transformer of EVA-02',
    signs=(
        'patch_embed.proj.weight',
        'blocks.0.attn.q_proj.weight',
        'blocks.0.norm1.weight',
        'pos_embed',
    ),
    names={ours: theirs for ours, theirs in BASE.items() if not ours.endswith(UNGATED)}
    | named('blocks.{}', SPLIT, SUB_NORMS),
    incoming=incoming,
    outgoing=_without_mask,
)


def _with_own_biases(names: Names) -> Names:
    """Names in which query, key and value lie apart, without a bias of the key."""
    query, key, value = tuple(names['attn.qkv'])
    return {
        'attn.qkv.weight': (f'{query}.weight', f'{key}.weight', f'{value}.weight'),
        'attn.q_bias': f'{query}.bias',
        'attn.v_bias': f'{value}.bias',
        'attn.proj': names['attn.proj'],
        'gamma_1': 'lambda_1',
        'gamma_2': 'lambda_2',
    }


def _hugging_face_out(arrays: Arrays, network: Any) -> Arrays:
    """It has scales in any case, and one norm at the end."""
    if not network.with_cls_token or network.rotary is not None or network.qkv_bias:
        raise JsslError(
            'BEiT of Hugging Face has a class token, biases of query and value alone and no rotary '
            'positions, and this network is another; export it as safetensors.'
        )
    if network.final_norm == network.avg_token:
        raise JsslError(
            'BEiT of Hugging Face has a norm either of all tokens or of their mean, and this '
            f'network has final_norm={network.final_norm} and avg_token={network.avg_token}; '
            'export it as safetensors.'
        )
    return scaled(arrays)


def _within(whole: str, names: Mapping[str, str | tuple[str, ...]]) -> Names:
    """Names with that of the whole, of which they are parts there, in front."""
    return {
        ours: f'{whole}.{theirs}'
        if isinstance(theirs, str)
        else tuple(f'{whole}.{name}' for name in theirs)
        for ours, theirs in names.items()
    }


ATTENTION = 'encoder.layer.{}.attention.attention'
TABLE = 'relative_position_bias_table'
HF_BEIT = Layout(
    'hf-beit',
    'BEiT of Hugging Face',
    describe_vit,
    ('embeddings.patch_embeddings.projection.weight', 'encoder.layer.0.lambda_1'),
    TOKENS
    | {'ln2': 'pooler.layernorm', SHARED: f'encoder.relative_position_bias.{TABLE}'}
    | named('encoder.layer.{}', PLAIN, _with_own_biases(FILE), FILE_MLP)
    | {f'layers.{{}}.{BIASES}': f'{ATTENTION}.relative_position_bias.{TABLE}'},
    wrappers=('', 'beit.'),
    incoming=incoming,
    outgoing=_hugging_face_out,
    fields={'norm_epsilon': 1e-12, 'bias_interpolation': 'linear'},
)
HF_BEIT_NOW = dataclasses.replace(
    HF_BEIT,
    name='hf-beit-5',
    title='BEiT of Hugging Face, by the names of transformers 5',
    signs=(HF_BEIT.signs[0], 'layers.0.lambda_1'),
    names=TOKENS
    | {'ln2': 'pooler.layernorm', SHARED: f'shared_position_bias.{TABLE}'}
    | named('layers.{}', PLAIN, _with_own_biases(NOW), MLP)
    | {f'layers.{{}}.{BIASES}': f'layers.{{}}.relative_position_bias.{TABLE}'},
)
# In pre-training the last norm is no part of the backbone there.
HF_BEIT_TRAINING = dataclasses.replace(
    HF_BEIT,
    name='hf-beit-training',
    title='BEiT of Hugging Face with its head of pre-training',
    signs=(*(f'beit.{sign}' for sign in HF_BEIT.signs), 'layernorm.weight', 'lm_head.weight'),
    names=_within('beit', HF_BEIT.names) | {'ln1': 'layernorm'},
    wrappers=('',),
    apart=('lm_head.',),
)
LAYOUTS = (BEIT, EVA, EVA02, HF_BEIT_TRAINING, HF_BEIT, HF_BEIT_NOW)
