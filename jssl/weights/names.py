"""The names and layouts of arrays in files: those of MMSelfSup, which are torchvision's too.

The modules of jssl carry these names, so a parameter's key is the dotted path to it with its last
part renamed (`kernel` -> `weight`, `mean` -> `running_mean`), and its layout is a transposition:
convolutions (h, w, in, out) <-> (out, in, h, w), linear (in, out) <-> (out, in).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.errors import JsslError
from jssl.weights.stacked import stack_like, unstack

LEAVES = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean', 'var': 'running_var'}
POINTERS = ('queue_ptr', 'queue2_ptr')  # arrays of one entry there, scalars here
ROWS = 'memory_bank.'  # how the keys begin of tables that lie here as they do there
# Keys without a place here: counters that nothing reads, and tables that follow from the size of a
# window or a grid, or are the same in every model.
UNREAD = (
    'num_batches_tracked',
    'relative_position_index',
    'attn_mask',
    'multinomial.prob',
    'multinomial.alias',
    'rope.freqs_cos',
    'rope.freqs_sin',
)
KeyOf = Callable[[tuple[str, ...]], str | None]


def key_of(names: Sequence[str]) -> str:
    """``('backbone', 'layer1.0', 'bn1', 'scale')`` -> ``'backbone.layer1.0.bn1.weight'``."""
    return '.'.join([*names[:-1], LEAVES.get(names[-1], names[-1])])


def load_tree(
    weights: Mapping[str, np.ndarray],
    tree: Any,
    key_of: KeyOf = key_of,
    unread: tuple[str, ...] = (),
) -> Any:
    """`tree` with the arrays of a file in their places.

    Args:
      weights: arrays by key, in the layout of files.
      tree: dicts of arrays, or of their shapes (`jax.ShapeDtypeStruct`).
      key_of: the key of a leaf, by the names on the way to it; None for one that is not in files.
      unread: how the keys begin that are saved a second time.

    Returns:
      The tree, floats in the precision they came in. A leaf that is not in files keeps its value,
      and is 0 where only its shape is given.

    Raises:
      JsslError: names a key that is missing, has another shape, or has no place in the tree.
    """
    unused = {key for key in weights if not key.endswith(UNREAD) and not key.startswith(unread)}

    def take(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        key = key_of(tuple(entry.key for entry in path))
        if key is None:
            return jnp.zeros(leaf.shape, leaf.dtype) if _is_shape(leaf) else leaf
        unused.discard(key)
        return _fitting(key, weights, leaf)

    loaded = jax.tree.map_with_path(take, unstack(tree), is_leaf=_is_shape)
    if unused:
        raise JsslError(
            f'{len(unused)} keys of the weights have no place in the model, for example '
            f'{", ".join(sorted(unused)[:3])}; they belong to another model.'
        )
    return stack_like(loaded, tree)


def save_tree(tree: Any, key_of: KeyOf = key_of) -> dict[str, np.ndarray]:
    """The arrays of `tree` by their keys in files, laid out as there; see `load_tree`."""
    leaves = jax.tree.leaves_with_path(unstack(tree))
    named = [(key_of(tuple(entry.key for entry in path)), leaf) for path, leaf in leaves]
    return {key: _to_file(key, np.asarray(leaf)) for key, leaf in named if key is not None}


def shape_in_file(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that files have for an array of the tree."""
    return _to_file(key, np.broadcast_to(np.float32(0), shape)).shape


def _fitting(key: str, weights: Mapping[str, np.ndarray], leaf: Any) -> jax.Array:
    """The array of a file that is to stand in the place of `leaf`."""
    if key not in weights:
        raise JsslError(
            f'The weights have no {key!r}; they belong to another model. Their keys start '
            f'with: {", ".join(sorted(weights)[:5])}.'
        )
    value = _from_file(key, np.asarray(weights[key]))
    if value.shape != leaf.shape:
        raise JsslError(
            f'{key!r} has shape {np.shape(weights[key])} in the weights, where the model has '
            f'{shape_in_file(key, leaf.shape)}; depth or widths differ.'
        )
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return jax.device_put(value.astype(leaf.dtype))
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise JsslError(f'{key!r} is of type {value.dtype} in the weights; give floats.')
    return jax.device_put(value)  # `jnp.asarray` would compile a program for every shape


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _from_file(key: str, array: np.ndarray) -> np.ndarray:
    if key in POINTERS:
        return array.reshape(())
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 and not key.startswith(ROWS) else array


def _to_file(key: str, array: np.ndarray) -> np.ndarray:
    if key in POINTERS:
        return array.reshape(1)
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 and not key.startswith(ROWS) else array
