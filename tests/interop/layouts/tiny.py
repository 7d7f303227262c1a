"""Arrays of tiny networks by the names of jssl, of vision transformers without any network."""

import functools
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jssl.interop.safetensors import backbone_arrays

WIDTH = 8
TABLE = 'relative_position_bias_table'
Arrays = dict[str, np.ndarray]


def arrays_of(
    *,
    ffn: str = 'mlp',
    registers: int = 0,
    own: bool = True,
    table: bool = True,
    scales: bool = False,
    key_bias: bool = True,
    own_biases: bool = False,
    relative: str = '',
    sub_norms: bool = False,
    pooled: bool = False,
) -> Arrays:
    """The arrays of two blocks, laid out as in files: hidden width 16, patches of 4, 3 x 3 of them.

    Args:
      ffn: 'mlp', 'swiglu' or 'swiglu_fused'.
      registers: how many.
      own: whether there are a class token and a mask token.
      table: whether there is a table of positions.
      scales: whether branches are scaled.
      key_bias: whether the bias of the key is other than 0.
      own_biases: whether query and value have biases of their own.
      relative: 'block' for biases by relative position in each block, 'shared' for one table.
      sub_norms: whether there are norms before the last layers of the branches.
      pooled: whether attention pools the tokens.
    """
    rest: dict[str, tuple[int, ...]] = {'ln1.weight': (WIDTH,), 'ln1.bias': (WIDTH,)}
    rest |= {'cls_token': (1, 1, WIDTH), 'mask_token': (1, 1, WIDTH)} if own else {}
    rest |= {'register_tokens': (1, registers, WIDTH)} if registers else {}
    rest |= {'pos_embed': (1, 9 + own, WIDTH)} if table else {}
    rest |= {'patch_embed.projection.weight': (WIDTH, 3, 4, 4)}
    rest |= {'patch_embed.projection.bias': (WIDTH,)}
    rest |= pooling() if pooled else {}
    rest |= {f'rel_pos_bias.{TABLE}': (28, 2)} if relative == 'shared' else {}
    layers = {'attn.qkv': (3 * WIDTH, WIDTH), 'attn.proj': (WIDTH, WIDTH)} | hidden(ffn)
    for block in range(2):
        for name in ('ln1', 'ln2'):
            rest |= {f'layers.{block}.{name}.{leaf}': (WIDTH,) for leaf in ('weight', 'bias')}
        for name, shape in layers.items():
            rest[f'layers.{block}.{name}.weight'] = shape
            rest[f'layers.{block}.{name}.bias'] = shape[:1]
        if own_biases:
            del rest[f'layers.{block}.attn.qkv.bias']
            rest |= {f'layers.{block}.attn.{name}_bias': (WIDTH,) for name in 'qv'}
        if relative == 'block':
            rest[f'layers.{block}.attn.{TABLE}'] = (28, 2)
        if sub_norms:
            for leaf in ('weight', 'bias'):
                rest[f'layers.{block}.attn.ln.{leaf}'] = (WIDTH,)
                rest[f'layers.{block}.ffn.ln.{leaf}'] = (16,)
        if scales:
            rest |= {f'layers.{block}.gamma_{branch}': (WIDTH,) for branch in (1, 2)}
    draw = np.random.default_rng(0)
    arrays: Any = {key: draw.standard_normal(shape, 'float32') for key, shape in rest.items()}
    for block in range(0 if key_bias else 2):
        arrays[f'layers.{block}.attn.qkv.bias'][WIDTH : 2 * WIDTH] = 0
    return arrays


def pooling() -> dict[str, tuple[int, ...]]:
    layers = {'q': (WIDTH, WIDTH), 'kv': (2 * WIDTH, WIDTH), 'proj': (WIDTH, WIDTH)}
    layers |= {'ffn.layers.0.0': (16, WIDTH), 'ffn.layers.1': (WIDTH, 16)}
    shapes: dict[str, tuple[int, ...]] = {'attn_pool.latent': (1, 1, WIDTH)}
    for name, shape in layers.items():
        shapes |= {f'attn_pool.{name}.weight': shape, f'attn_pool.{name}.bias': shape[:1]}
    return shapes | {f'attn_pool.ln.{leaf}': (WIDTH,) for leaf in ('weight', 'bias')}


def hidden(ffn: str) -> dict[str, tuple[int, int]]:
    if ffn == 'mlp':
        return {'ffn.layers.0.0': (16, WIDTH), 'ffn.layers.1': (WIDTH, 16)}
    first = {'ffn.w12': (32, WIDTH)} if ffn == 'swiglu_fused' else {}
    return (first or {'ffn.w1': (16, WIDTH), 'ffn.w2': (16, WIDTH)}) | {'ffn.w3': (WIDTH, 16)}


def arrays_in(network: nn.Module, side: int = 16) -> Arrays:
    """The arrays of a network for images of so many pixels, drawn at random."""
    images = jax.ShapeDtypeStruct((1, side, side, 3), 'float32')
    init = functools.partial(network.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), images)
    draw = np.random.default_rng(0)
    drawn = jax.tree.map(lambda leaf: draw.standard_normal(leaf.shape, 'float32'), shapes)
    statistics = {'backbone': drawn.get('batch_stats', {})}
    return backbone_arrays({'backbone': drawn['params']}, statistics)
