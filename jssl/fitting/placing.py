"""Weights of files in the place of a fresh backbone's: names, shapes, tables for other sizes."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jssl.counts import counted
from jssl.errors import JsslError
from jssl.interop.layouts.layout import listed
from jssl.interop.mmselfsup import import_state, reference_key
from jssl.interop.safetensors import has_reference_names
from jssl.layers.position_embedding import (
    BiasInterpolation,
    Interpolation,
    resize_biases,
    resize_positions,
)
from jssl.weights.names import UNREAD, shape_in_file
from jssl.weights.stacked import stack_like, unstack

TABLES = ('pos_embed', 'absolute_pos_embed')
BIASES = 'relative_position_bias_table'
HIDDEN = 'mask_token'  # which a network has in training alone
Weights = Mapping[str, np.ndarray]


def place_weights(
    weights: Weights,
    fresh: Mapping[str, Any],
    backbone: nn.Module | None,
    report: Callable[[str], None],
    path: str,
    *,
    added: re.Pattern[str] | None = None,
) -> dict[str, Any]:
    """`fresh` with the weights that it has a place for.

    Args:
      weights: of `read_weights`.
      fresh: ``{'params': {'backbone': …}, 'state': {'batch_stats': {'backbone': …}}}``.
      backbone: whose they are; its `interpolation` and `bias_interpolation` say how tables of
        positions are resized.
      report: is told in one line what was loaded, what is new and what was left out.
      path: where they were read, for that line.
      added: what the names of arrays match that may be missing, and stay as they are.

    Raises:
      JsslError: the weights are of another backbone; names what differs.
    """
    backbones = (fresh['params']['backbone'], fresh['state']['batch_stats']['backbone'])
    if not has_reference_names(*backbones):
        raise JsslError(
            'it is no module of dicts in which every array has a name of its own, with kernel and '
            'scale counted as one. Leave config.pretrained out, or rename its parameters.'
        )
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), fresh)
    leaves = flatten_dict(unstack(shapes))
    keys = {place: _key(place) for place in leaves}
    missing = [key for key in keys.values() if key not in weights]
    _check_missing(missing, weights, added)
    known = {place: leaf for place, leaf in leaves.items() if keys[place] in weights}
    wanted = {keys[place]: leaf for place, leaf in known.items()}
    fitted = {
        key: _fit(key, np.asarray(weights[key]), leaf, backbone) for key, leaf in wanted.items()
    }
    tree = unflatten_dict(known)
    imported = import_state(fitted, tree.get('params', {}), tree.get('state', {}))
    values = flatten_dict(stack_like({'params': imported[0], 'state': imported[1]}, fresh))
    loaded = {
        place: _placed(values[place], leaf) if place in values else leaf
        for place, leaf in flatten_dict(fresh).items()
    }
    unused = [key for key in weights if key not in wanted and not key.endswith(UNREAD)]
    report(_in_words(path, len(known), missing, unused))
    return unflatten_dict(loaded)


def check_weights(weights: Weights, fresh: Mapping[str, Any], resized: bool) -> None:
    """Refuses weights that are not those of a network, all of them and no more.

    Args:
      weights: by the reference's names, with `backbone.` in front.
      fresh: as of `place_weights`, of shapes alone.
      resized: whether tables of positions may have other shapes.

    Raises:
      JsslError: names those that are missing, have no place, or another shape.
    """
    wanted = {_key(place): leaf.shape for place, leaf in flatten_dict(unstack(fresh)).items()}
    _check_missing([key for key in wanted if key not in weights], weights, None)
    strange = {
        key: value
        for key, value in weights.items()
        if key not in wanted and not key.endswith((*UNREAD, HIDDEN))
    }
    if strange:
        raise JsslError(
            f'{len(strange)} arrays have no place in it: {listed(strange)}. Give the network that '
            'they are of.'
        )
    for key, shape in wanted.items():
        found, needed = np.shape(weights[key]), shape_in_file(key, shape)
        if found != needed and not (resized and key.endswith((*TABLES, BIASES))):
            raise JsslError(
                f'{key!r} has shape {found} in the weights, where the model has {needed}; depth or '
                'widths differ.'
            )


def _key(place: tuple[str, ...]) -> str:
    key = reference_key(place)
    assert key is not None  # a backbone's parameters and statistics all have one
    return key


def _placed(value: jax.Array, leaf: jax.Array) -> jax.Array:
    """A value where `leaf` is, in its precision."""
    array = np.asarray(value).astype(leaf.dtype)
    return jax.make_array_from_callback(array.shape, leaf.sharding, lambda index: array[index])


def _check_missing(missing: list[str], weights: Weights, added: re.Pattern[str] | None) -> None:
    unexplained = [key for key in missing if added is None or not added.match(key)]
    if unexplained:
        raise JsslError(
            f'the weights lack {len(unexplained)} of its arrays, for example '
            f'{", ".join(unexplained[:3])}, and have keys such as '
            f'{", ".join(sorted(weights)[:3])}; give it the type, depth and widths that they were '
            'trained with.'
        )


def _fit(key: str, array: np.ndarray, leaf: jax.Array, backbone: Any) -> np.ndarray:
    """A table of positions, or of relative ones, for the grid of `leaf`; all else as it is.

    The tables of the weights have the reference's layout: biases (entries, heads) are the other
    way round than here.
    """
    name = key.rpartition('.')[2]
    if name in TABLES and array.ndim == 3 and array.shape != leaf.shape:
        resizing: Interpolation = getattr(backbone, 'interpolation', 'plain')
        array = _resize_table(array, leaf.shape[1], resizing)
    elif name == BIASES and array.ndim == 2 and array.shape != leaf.shape[::-1]:
        between: BiasInterpolation = getattr(backbone, 'bias_interpolation', 'plain')
        array = resize_biases(array, leaf.shape[1], between)
    return array


def _resize_table(table: np.ndarray, rows: int, interpolation: Interpolation) -> np.ndarray:
    """A table (1, n, C) as one of so many rows, of which one is a class token's or none.

    Where the file lacks that row it is 0: its class token, if any, has the position in itself.
    """
    had, has = _class_rows(table.shape[1]), _class_rows(rows)
    side = math.isqrt(rows - has)
    options: Any = dict(extra_tokens=had, interpolation=interpolation)
    resized = np.asarray(resize_positions(jnp.asarray(table), (side, side), **options))
    patches = resized[:, had:]
    first = resized[:, :had] if had else np.zeros_like(patches[:, :1])
    return np.concatenate([first[:, :has], patches], axis=1)


def _class_rows(rows: int) -> int:
    """0 of a square grid's table, else 1: no square is one more than another."""
    return int(math.isqrt(rows) ** 2 != rows)


def _in_words(path: str, loaded: int, added: list[str], unused: list[str]) -> str:
    parts = [f'backbone from {path}: {counted(loaded, "array")}']
    for what, keys in (('new here', added), ('not used', unused)):
        if keys:
            rest = f' and {len(keys) - 4} more' if len(keys) > 4 else ''
            parts.append(f'{what}: {", ".join(sorted(keys)[:4])}{rest}')
    return '; '.join(parts)
