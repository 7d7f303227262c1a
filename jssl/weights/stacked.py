"""Blocks whose parameters are stacked, as `scan_layers` has them, and one by one, as in files."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

STACKED = ('layers', 'decoder_blocks')  # `layers` holds what is else in `layers.0`, `layers.1`, …


def unstack(tree: Any) -> Any:
    """``{'layers': {'w': (n, ...)}}`` -> ``{'layers.0': {'w': (...)}, ...}``, at any depth.

    Leaves are arrays or their shapes (`jax.ShapeDtypeStruct`); all else comes back as it is.
    """
    if not isinstance(tree, Mapping):
        return tree
    result: dict[str, Any] = {}
    for name, value in tree.items():
        if _is_stack(name, value):
            for index in range(jax.tree.leaves(value)[0].shape[0]):
                result[f'{name}.{index}'] = jax.tree.map(_row(index), value)
        else:
            result[name] = unstack(value)
    return result


def stack_like(tree: Any, like: Any) -> Any:
    """The inverse of `unstack`, wherever `like` has stacked blocks."""
    if not isinstance(tree, Mapping):
        return tree
    blocks: dict[str, dict[int, Any]] = {
        name: {} for name in STACKED if _is_stack(name, like.get(name))
    }
    result: dict[str, Any] = {}
    for name, value in tree.items():
        kind, _, number = name.partition('.')
        if kind in blocks:
            blocks[kind][int(number)] = value
        else:
            result[name] = stack_like(value, like.get(name, {}))
    for kind, numbered in blocks.items():
        rows = [numbered[number] for number in sorted(numbered)]  # JAX sorts 10 before 2
        result[kind] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    return result


def _is_stack(name: str, value: Any) -> bool:
    """Whether an entry is a transformer's blocks; any other module may be called `layers` too."""
    return name in STACKED and isinstance(value, Mapping) and {'attn', 'ffn'} <= value.keys()


def _row(index: int) -> Any:
    def row(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
        return leaf[index]

    return row
