"""Vision transformers: what their arrays say of the network, and what several layouts share."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.interop.layouts.layout import Arrays, Network, count_alike, shape_of

PATCH = 'patch_embed.projection'
# Heads of the published networks of a width, which no array tells.
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1536: 24}
DINOV3 = {'norm_epsilon': 1e-5, 'rotary': {}, 'mask_k_bias': True}
DINOV3_HEADS = {1280: 20, 4096: 32}
GATE, VALUE, LAST, FUSED = '.ffn.w1', '.ffn.w2', '.ffn.w3', '.ffn.w12'
FIRST, SECOND, BIAS = '.ffn.layers.0.0', '.ffn.layers.1', '.attn.qkv.bias'


def describe_vit(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """The section of a config that builds the network of these arrays.

    Args:
      arrays: in our names.
      fields: known otherwise: `num_heads`, or any field of `VisionTransformer`.

    Returns:
      It; `num_heads` is None where that remains unknown.

    Raises:
      JsslError: they are no vision transformer.
    """
    width, _, patch, _ = shape_of(arrays, f'{PATCH}.weight', 4)
    options = {key: value for key, value in fields.items() if key != 'num_heads'}
    named = {key for key in arrays if key.startswith('layers.0.')}
    own = 'cls_token' in arrays
    return {
        'type': 'VisionTransformer',
        'arch': {
            'embed_dims': width,
            'num_layers': count_alike(arrays, 'layers.'),
            'num_heads': fields.get('num_heads') or HEADS.get(width),
            'feedforward_channels': _hidden(arrays),
        },
        'img_size': patch * _grid(arrays, own, rotary='rotary' in options),
        'patch_size': patch,
        'with_cls_token': own,
        'num_registers': _registers(arrays),
        'final_norm': 'ln1.weight' in arrays,
        'avg_token': 'ln2.weight' in arrays,
        'qkv_bias': 'layers.0.attn.q_bias' not in named,
        'ffn': _kind(named),
        'layer_scale': 1.0 if 'layers.0.gamma_1' in named else None,
        'use_rel_pos_bias': 'layers.0.attn.relative_position_bias_table' in named,
    } | options


def describe_dinov3(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """As `describe_vit`, of a network with rotary positions and without a bias of the key."""
    heads = DINOV3_HEADS.get(shape_of(arrays, f'{PATCH}.weight', 4)[0])
    return describe_vit(arrays, DINOV3 | {'num_heads': heads} | dict(fields))


def _registers(arrays: Arrays) -> int:
    return shape_of(arrays, 'register_tokens', 3)[1] if 'register_tokens' in arrays else 0


def _kind(named: set[str]) -> str:
    if 'layers.0.ffn.w12.weight' in named:
        return 'swiglu_fused'
    return 'swiglu' if 'layers.0.ffn.w1.weight' in named else 'mlp'


def _hidden(arrays: Arrays) -> int:
    """`feedforward_channels`, of which a gated network has two thirds."""
    if 'layers.0.ffn.w3.weight' not in arrays:
        return shape_of(arrays, f'layers.0{FIRST}.weight', 2)[0]
    hidden = shape_of(arrays, 'layers.0.ffn.w3.weight', 2)[1]
    if hidden % 8:
        raise JsslError(
            f'Its gated feed-forward networks are {hidden} wide, and those of jssl a multiple of 8.'
        )
    return hidden * 3 // 2


def _grid(arrays: Arrays, own: bool, *, rotary: bool) -> int:
    """Patches along a side of the images that the table of positions is for."""
    if rotary:
        return 16
    rows = shape_of(arrays, 'pos_embed', 3)[1] - own
    side = math.isqrt(max(rows, 0))
    if not side or side * side != rows:
        raise JsslError(
            f'Its table of positions has {rows} rows for patches, which are no square of them.'
        )
    return side


def incoming(arrays: Arrays) -> Arrays:
    """Tokens with three axes, a row of positions for the class token, and both biases.

    A table without rows for the tokens gets one of zeros; rows for registers are added to them.
    """
    arrays = dict(arrays)
    if np.size(arrays.get('register_tokens', 1)) == 0:
        del arrays['register_tokens']
    for token in ('cls_token', 'mask_token'):
        if token in arrays and arrays[token].ndim:
            arrays[token] = arrays[token].reshape(1, 1, -1)
    for key in [key for key in arrays if key.endswith('.attn.qkv.weight')]:
        weight, bias = arrays[key], key.removesuffix('weight') + 'bias'
        if bias not in arrays and f'{key.removesuffix("qkv.weight")}q_bias' not in arrays:
            arrays[bias] = np.zeros(weight.shape[:1], weight.dtype)
    _give_rows(arrays)
    return arrays


def _give_rows(arrays: Arrays) -> None:
    table = arrays.get('pos_embed')
    if table is None or table.ndim != 3:
        return
    own, rows, more = 'cls_token' in arrays, table.shape[1], _registers(arrays)
    if own and not _is_square(rows - 1) and _is_square(rows):
        zeros = np.zeros_like(table[:, :1])
        arrays['pos_embed'] = np.concatenate([zeros, table], axis=1)
    elif more and not _is_square(rows - own) and _is_square(rows - own - more):
        arrays['register_tokens'] = arrays['register_tokens'] + table[:, own : own + more]
        arrays['pos_embed'] = np.concatenate([table[:, :own], table[:, own + more :]], axis=1)


def _is_square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def whole_bias(arrays: Arrays, network: Any) -> Arrays:
    """One bias of query, key and value, of which that of the key may be 0."""
    arrays = dict(arrays)
    for key in [key for key in arrays if key.endswith('.attn.q_bias')]:
        query, value = arrays.pop(key), arrays.pop(key.replace('q_bias', 'v_bias'))
        joint = np.concatenate([query, np.zeros_like(query), value])
        arrays[key.replace('q_bias', 'qkv.bias')] = joint
    if getattr(network, 'mask_k_bias', False):
        for key in [key for key in arrays if key.endswith(BIAS)]:
            query, middle, value = np.split(arrays[key], 3)
            arrays[key] = np.concatenate([query, np.zeros_like(middle), value])
    return arrays


def no_rotary(name: str, network: Any) -> None:
    """Raises a `JsslError` for a network whose positions have no place there."""
    if network.rotary is not None or network.use_rel_pos_bias:
        raise JsslError(
            f'{name} has no vision transformer with rotary positions or biases by relative '
            'position under these names; export it as huggingface or safetensors.'
        )


def rotary_base(name: str, network: Any) -> float:
    """The base of a network's rotary positions.

    Raises:
      JsslError: it has a table of positions, or more than the base is other than DINOv3's.
    """
    if network.rotary is None:
        raise JsslError(
            f'{name} has rotary positions, and this network a table; export it as safetensors.'
        )
    rotary = network.rotary
    if rotary.get('periods') is not None or rotary.get('coordinates', 'separate') != 'separate':
        raise JsslError(
            f'config.model.backbone.rotary={dict(rotary)!r} has periods or coordinates that {name} '
            'does not have; export it as safetensors.'
        )
    return float(rotary.get('base', 100.0))


def no_key_bias(name: str, arrays: Arrays) -> Arrays:
    """The arrays; raises a `JsslError` if a bias of the key is other than 0."""
    if any(np.split(arrays[key], 3)[1].any() for key in arrays if key.endswith(BIAS)):
        raise JsslError(
            f'{name} has no bias of the key, and this network has one; export it as safetensors.'
        )
    return arrays


def fused(arrays: Arrays) -> Arrays:
    """The gate and the value of gated networks as one layer."""
    joined = {}
    for key, value in arrays.items():
        if GATE + '.' in key:
            other = arrays[key.replace(GATE, VALUE)]
            joined[key.replace(GATE, FUSED)] = np.concatenate([value, other])
        elif VALUE + '.' not in key:
            joined[key] = value
    return joined
