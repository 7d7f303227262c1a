"""The vision towers of SigLIP, and of SigLIP 2 for one size: attention pooling, no class token."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.interop.layouts.huggingface import MLP, named
from jssl.interop.layouts.layout import Arrays, Layout, Names, Network
from jssl.interop.layouts.timm import NAMES, SIGNS
from jssl.interop.layouts.vit import PATCH, describe_vit, incoming, timm_tower

HALF = {'mean': (127.5, 127.5, 127.5), 'std': (127.5, 127.5, 127.5)}
POOL = 'attn_pool.'
LATENT = f'{POOL}latent'
JOINT = {'weight': 'attn_pool.in_proj_weight', 'bias': 'attn_pool.in_proj_bias'}
TIMM_POOL: Names = {
    LATENT: LATENT,
    **{f'{POOL}{name}': f'{POOL}{name}' for name in ('q', 'kv', 'proj')},
    f'{POOL}ln': f'{POOL}norm',
    f'{POOL}ffn.layers.0.0': f'{POOL}mlp.fc1',
    f'{POOL}ffn.layers.1': f'{POOL}mlp.fc2',
}
HF_POOL: Names = {
    LATENT: 'head.probe',
    **{name: f'head.attention.{name.removeprefix(POOL)}' for name in JOINT.values()},
    f'{POOL}proj': 'head.attention.out_proj',
    f'{POOL}ln': 'head.layernorm',
    f'{POOL}ffn.layers.0.0': 'head.mlp.fc1',
    f'{POOL}ffn.layers.1': 'head.mlp.fc2',
}
HF_BLOCK: Names = {
    'ln1': 'layer_norm1',
    'attn.qkv': tuple(f'self_attn.{name}_proj' for name in 'qkv'),
    'attn.proj': 'self_attn.out_proj',
    'ln2': 'layer_norm2',
    **MLP,
}


def describe_siglip(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """As `describe_vit`; a tower without its head is a plain vision transformer."""
    network = describe_vit(arrays, timm_tower(arrays) | dict(fields))
    return network | ({'type': 'SigLIPViT'} if LATENT in arrays else {})


def _hugging_face_in(arrays: Arrays) -> Arrays:
    """The table of positions has no first axis, and the pooling's projections lie in one array."""
    arrays = dict(arrays)
    if 'pos_embed' in arrays and arrays['pos_embed'].ndim == 2:
        arrays['pos_embed'] = arrays['pos_embed'][None]
    for leaf, joint in JOINT.items():
        if joint in arrays:
            whole = np.atleast_1d(arrays.pop(joint))
            third = len(whole) // 3
            arrays[f'{POOL}q.{leaf}'], arrays[f'{POOL}kv.{leaf}'] = np.split(whole, [third])
    return incoming(arrays)


def _hugging_face_out(arrays: Arrays, network: Any) -> Arrays:
    del network
    arrays = {key: value for key, value in arrays.items() if key != 'mask_token'}
    arrays['pos_embed'] = arrays['pos_embed'][0]
    for leaf, joint in JOINT.items():
        parts = [arrays.pop(f'{POOL}{name}.{leaf}') for name in ('q', 'kv')]
        arrays[joint] = np.concatenate(parts)
    return arrays


def _timm_out(arrays: Arrays, network: Any) -> Arrays:
    del network
    return {key: value for key, value in arrays.items() if key != 'mask_token'}


TIMM_SIGLIP = Layout(
    'timm-siglip',
    "timm's vision tower of SigLIP",
    describe_siglip,
    (*SIGNS, LATENT),
    NAMES | TIMM_POOL,
    wrappers=('', 'model.', 'module.', 'visual.trunk.'),
    apart=('head.',),
    incoming=incoming,
    outgoing=_timm_out,
    kind='SigLIPViT',
    fields={'interpolation': 'antialiased'},
    images=HALF,
)
HF_SIGLIP = Layout(
    'hf-siglip',
    'the vision tower of SigLIP of Hugging Face',
    describe_siglip,
    (
        'embeddings.patch_embedding.weight',
        'embeddings.patch_embedding.bias',
        'encoder.layers.0.self_attn.q_proj.weight',
    ),
    {
        PATCH: 'embeddings.patch_embedding',
        'pos_embed': 'embeddings.position_embedding.weight',
        'ln1': 'post_layernorm',
        **HF_POOL,
        **named('encoder.layers.{}', HF_BLOCK),
    },
    wrappers=('', 'vision_model.'),
    apart=('embeddings.position_ids',),
    incoming=_hugging_face_in,
    outgoing=_hugging_face_out,
    kind='SigLIPViT',
    fields={'activation': 'gelu_tanh'},
    images=HALF,
)
LAYOUTS = (TIMM_SIGLIP, HF_SIGLIP)
