"""Vision transformers: what their arrays say of the network, and what several layouts share."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.interop.layouts.layout import Arrays, Network, count_alike, shape_of
from jssl.layers.rotary import Rotary, make_rotary

PATCH = 'patch_embed.projection'
# Heads of the published networks of a width, which no array tells.
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1536: 24}
# Of SigLIP's towers: heads, and those with the approximate GELU in timm, by width and patches, and
# by the number of patches where that of smaller images has the exact one.
TOWER_HEADS = {1152: 16, 1536: 16}
TANH = ((768, 32), (1152, 16), (1536, 16), (1024, 16, 1024))
DINOV3: Mapping[str, Any] = {'norm_epsilon': 1e-5, 'rotary': {}}
DINOV3_HEADS = {1280: 20, 4096: 32}
BIASES = 'attn.relative_position_bias_table'
SHARED = 'rel_pos_bias.relative_position_bias_table'
RARE = {
    'use_shared_rel_pos_bias': SHARED,
    'attn_sub_norm': 'layers.0.attn.ln.weight',
    'ffn_sub_norm': 'layers.0.ffn.ln.weight',
}
GATE, VALUE, LAST, FUSED = '.ffn.w1', '.ffn.w2', '.ffn.w3', '.ffn.w12'
SCALES = ('.gamma_1', '.gamma_2')
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
    return (
        {
            'type': 'VisionTransformer',
            'arch': {
                'embed_dims': width,
                'num_layers': count_alike(arrays, 'layers.'),
                'num_heads': fields.get('num_heads') or _heads(arrays) or HEADS.get(width),
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
            'use_rel_pos_bias': f'layers.0.{BIASES}' in named,
        }
        | _rare(arrays, rotary='rotary' in options)
        | options
    )


def timm_tower(arrays: Arrays) -> dict[str, Any]:
    """Heads and activation of a tower of SigLIP that timm has, by width, patches and grid.

    The approximate GELU is that of SigLIP 2's, as far as timm gives it to them.
    """
    width, _, patch, _ = shape_of(arrays, f'{PATCH}.weight', 4)
    rows = shape_of(arrays, 'pos_embed', 3)[1] if 'pos_embed' in arrays else 0
    tanh = (width, patch) in TANH or (width, patch, rows) in TANH
    return {'num_heads': TOWER_HEADS.get(width), 'activation': 'gelu_tanh' if tanh else 'gelu'}


def describe_dinov3(arrays: Arrays, fields: Mapping[str, Any]) -> Network:
    """As `describe_vit`, of a network with rotary positions; few have a bias of the key."""
    heads = DINOV3_HEADS.get(shape_of(arrays, f'{PATCH}.weight', 4)[0])
    told = {**DINOV3, 'mask_k_bias': not has_key_bias(arrays), 'num_heads': heads, **fields}
    return describe_vit(arrays, told)


def _rare(arrays: Arrays, *, rotary: bool) -> dict[str, Any]:
    """Fields that few networks have, where they are not what they usually are."""
    found: dict[str, Any] = {field: True for field, key in RARE.items() if key in arrays}
    if ('pos_embed' in arrays) == rotary:
        found['use_abs_pos_emb'] = rotary
    gated = 'layers.0.ffn.w3.weight'
    if gated in arrays and shape_of(arrays, gated, 2)[1] % 8:
        found['swiglu_multiple'] = 1
    return found


def _biases(arrays: Arrays) -> tuple[int, int] | None:
    """Relative positions and heads of a table of biases; None without one."""
    key = next((key for key in (SHARED, f'layers.0.{BIASES}') if key in arrays), None)
    if key is None:
        return None
    entries, heads = shape_of(arrays, key, 2)
    return entries, heads


def _heads(arrays: Arrays) -> int | None:
    biases = _biases(arrays)
    return None if biases is None else biases[1]


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
    return -(-shape_of(arrays, 'layers.0.ffn.w3.weight', 2)[1] * 3 // 2)


def _grid(arrays: Arrays, own: bool, *, rotary: bool) -> int:
    """Patches along a side of the images that tables of positions are for."""
    if 'pos_embed' not in arrays and (biases := _biases(arrays)) is not None:
        side = math.isqrt(max(biases[0] - 3, 0))
        if side % 2 == 0 or side * side != biases[0] - 3:
            raise JsslError(
                f'Its table of biases by relative position has {biases[0]} rows, which are not '
                '(2 n - 1)^2 + 3 of n x n patches and a class token.'
            )
        return (side + 1) // 2
    if 'pos_embed' not in arrays and rotary:
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


def as_told(arrays: Arrays, network: Mapping[str, Any]) -> Arrays:
    """The arrays of a file of ours as the network that it tells has them.

    What other libraries have in any case was put in on the way out, and comes out here: the zeros
    of a bias of the key where query and value have their own, and scales of 1.
    """
    own_biases = network.get('qkv_bias') is False
    unscaled = 'layer_scale' in network and network['layer_scale'] is None
    found: Arrays = {}
    for key, value in arrays.items():
        if own_biases and key.endswith(BIAS) and not has_key_bias({key: value}):
            stem, third = key.removesuffix('qkv.bias'), len(value) // 3
            found |= {f'{stem}q_bias': value[:third], f'{stem}v_bias': value[-third:]}
        elif not (unscaled and key.endswith(SCALES) and (value == 1).all()):
            found[key] = value
    return found


def no_rotary(name: str, network: Any) -> None:
    """Raises a `JsslError` for a network whose positions have no place there."""
    if network.rotary is not None or network.relative_field:
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
    rotary = make_rotary(network.rotary)
    if rotary is None or rotary != Rotary(base=rotary.base):
        raise JsslError(
            f'config.model.backbone.rotary={dict(network.rotary)!r} has more than the base, such '
            f'as periods or coordinates, and {name} does not; export it as safetensors.'
        )
    return rotary.base


def has_key_bias(arrays: Arrays) -> bool:
    """Whether a bias of the key in the joint ones is other than 0."""
    biases = (arrays[key] for key in arrays if key.endswith(BIAS))
    return any(value[len(value) // 3 : -(len(value) // 3)].any() for value in biases if value.ndim)


def no_key_bias(name: str, arrays: Arrays) -> Arrays:
    """The arrays; raises a `JsslError` if a bias of the key is other than 0."""
    if has_key_bias(arrays):
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
