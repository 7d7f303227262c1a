"""MMSelfSup's models and weights, to and from jssl.

The modules of jssl carry the reference's names, so a parameter's key is the dotted path to it with
its last part renamed (`kernel` -> `weight`, `mean` -> `running_mean`), and its layout is a
transposition: convolutions (h, w, in, out) <-> (out, in, h, w), linear (in, out) <-> (out, in).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Algorithm, Params, State
from jssl.components import build
from jssl.errors import JsslError
from jssl.interop.hooks import hook_settings
from jssl.interop.model_dicts import model_config
from jssl.interop.stacked import stack_like, unstack

LEAVES = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean', 'var': 'running_var'}
# What the reference calls the momentum network that is `state['target']` here.
TARGETS = {
    'BYOL': 'target_net',
    'DenseCL': 'encoder_k',
    'MoCo': 'encoder_k',
    'MoCoV3': 'momentum_encoder',
}
TARGET_PARTS = {'backbone': 'module.0', 'neck': 'module.1'}
# Parameters that are not trained, under the same names here and there.
FROZEN = ('teacher', 'target_generator')
SAVED = ('loss_weight', 'queue', 'queue_ptr', 'queue2', 'queue2_ptr')  # besides statistics
# What the reference saves of a memory; the rows and labels of ODC's it does not.
MEMORIES = {'NPID': ('bank', 'multinomial'), 'ODC': ('centroids',)}
MEMORY_PLACES = {'bank': 'feature_bank'}  # where it calls them otherwise
BANK = 'memory_bank.feature_bank'
POINTERS = ('queue_ptr', 'queue2_ptr')  # arrays of one entry there, scalars here
# Keys of the reference without a place here: counters that nothing reads, and tables that follow
# from the size of a window, or are the same in every model.
UNREAD = (
    'num_batches_tracked',
    'relative_position_index',
    'multinomial.prob',
    'multinomial.alias',
)
# Modules that the reference saves a second time, under another name.
ALIASES = {'SwAV': {'neck.bn.': 'neck.projection_neck.1.'}}
StateDict = Mapping[str, np.ndarray]


def build_model(
    model: Mapping[str, Any],
    hooks: Sequence[Mapping[str, Any]] = (),
    report: Callable[[str], None] = print,
) -> Algorithm:
    """The algorithm that the `model` dict and the `custom_hooks` of an MMSelfSup config describe.

    Args:
      model: the dict.
      hooks: what they set of the algorithm is applied.
      report: is told in a sentence what a hook sets that belongs to another section of a config.

    Raises:
      JsslError: for a component, field, hook or value that jssl does not have.
    """
    config = model_config(model)
    return build('model', config | hook_settings(config, hooks, report))


def import_state(
    weights: StateDict, params: Params, state: State, *, algorithm: Algorithm | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reference's weights in the place of `params` and `state`.

    Args:
      weights: the reference's `state_dict`, arrays by key.
      params: parameters of the same model, or their shapes (`jax.eval_shape` of `init`).
      state: the algorithm's state, or its shapes.
      algorithm: whose they are; its type decides what a momentum network is called.

    Returns:
      Parameters and state with the reference's values, floats in the precision they came in. What
      the reference does not save keeps its value, and is 0 where only its shape is given.

    Raises:
      JsslError: names a key that is missing, has another shape, or has no place in the model.
    """
    unread = tuple(_aliases(algorithm).values())
    unused = {key for key in weights if not key.endswith(UNREAD) and not key.startswith(unread)}

    def take(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        key = reference_key(path, algorithm)
        if key is None:
            return jnp.zeros(leaf.shape, leaf.dtype) if _is_shape(leaf) else leaf
        if key not in weights:
            raise JsslError(
                f'The weights have no {key!r}; they belong to another model. Their keys start '
                f'with: {", ".join(sorted(weights)[:5])}.'
            )
        value = _from_reference(key, np.asarray(weights[key]))
        if key == BANK and len(value) == _images(algorithm):
            value = np.pad(value, ((0, leaf.shape[0] - len(value)), (0, 0)))
        if value.shape != leaf.shape:
            raise JsslError(
                f'{key!r} has shape {np.shape(weights[key])} in the weights, where the model has '
                f'{_to_reference(key, np.empty(leaf.shape)).shape}; depth or widths differ.'
            )
        unused.discard(key)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(value, leaf.dtype)
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise JsslError(f'{key!r} is of type {value.dtype} in the weights; give floats.')
        return jnp.asarray(value)

    given = {'params': params, 'state': state}
    imported = jax.tree.map_with_path(take, unstack(given), is_leaf=_is_shape)
    if unused:
        raise JsslError(
            f'{len(unused)} keys of the weights have no place in the model, for example '
            f'{", ".join(sorted(unused)[:3])}; they belong to another model.'
        )
    imported = stack_like(imported, given)
    return imported['params'], imported['state']


def export_state(
    params: Params, state: State | None = None, *, algorithm: Algorithm | None = None
) -> dict[str, np.ndarray]:
    """Parameters (or their gradients) and state as the reference names and lays them out.

    Args:
      params: the parameters, or any tree like them, such as their gradients.
      state: the algorithm's state; what the reference does not save is left out.
      algorithm: whose they are; its type decides what a momentum network is called.
    """
    leaves = jax.tree.leaves_with_path(unstack({'params': params, 'state': state or {}}))
    keyed = [(reference_key(path, algorithm), np.asarray(leaf)) for path, leaf in leaves]
    exported = {key: _to_reference(key, array) for key, array in keyed if key is not None}
    if BANK in exported:
        exported[BANK] = exported[BANK][: _images(algorithm)]
    for name, alias in _aliases(algorithm).items():
        again = {key: array for key, array in exported.items() if key.startswith(name)}
        exported |= {key.replace(name, alias, 1): array for key, array in again.items()}
    return exported


def reference_key(path: tuple[Any, ...], algorithm: Algorithm | None = None) -> str | None:
    """The reference's name of a leaf of ``{'params': …, 'state': …}``, or None.

    ``('params', 'backbone', 'layer1.0', 'bn1', 'scale')`` -> ``'backbone.layer1.0.bn1.weight'``.
    """
    kind, *names = (entry.key for entry in path)
    if kind == 'state':
        place, *names = names
        if place == 'target':
            names = [TARGETS[type(algorithm).__name__], *_in_target(names)]
        elif place in MEMORIES.get(type(algorithm).__name__, ()):
            return '.'.join(['memory_bank', MEMORY_PLACES.get(place, place), *names])
        elif place in FROZEN:
            names = [place, *names]
        elif place != 'batch_stats':
            return place if place in SAVED else None
    return '.'.join([*names[:-1], LEAVES.get(names[-1], names[-1])])


def _images(algorithm: Any) -> int | None:
    """How many images NPID has a row for; its bank is longer by up to 63 rows that nothing uses."""
    return algorithm.memory_bank.length


def _aliases(algorithm: Algorithm | None) -> dict[str, str]:
    return ALIASES.get(type(algorithm).__name__, {})


def _in_target(names: list[str]) -> list[str]:
    """``['params', 'neck', 'fc0', 'bias']`` -> ``['module.1', 'fc0', 'bias']``; `steps` stays."""
    return names if len(names) == 1 else [TARGET_PARTS[names[1]], *names[2:]]


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _from_reference(key: str, array: np.ndarray) -> np.ndarray:
    if key in POINTERS:
        return array.reshape(())
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 and not key.startswith('memory_bank.') else array


def _to_reference(key: str, array: np.ndarray) -> np.ndarray:
    if key in POINTERS:
        return array.reshape(1)
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 and not key.startswith('memory_bank.') else array
