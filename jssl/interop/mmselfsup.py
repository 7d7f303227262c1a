"""MMSelfSup's models and weights, to and from jssl; `jssl.weights.names` has names and layouts."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jssl.algorithm import Algorithm, Params, State
from jssl.components import build
from jssl.interop.hooks import hook_settings
from jssl.interop.model_dicts import model_config
from jssl.memories.bank import MULTIPLE
from jssl.weights.names import key_of, load_tree, save_tree

# What the reference calls the momentum network that is `state['teacher']` here.
TARGETS = {
    'BYOL': 'target_net',
    'DenseCL': 'encoder_k',
    'MoCo': 'encoder_k',
    'MoCoV3': 'momentum_encoder',
}
TARGET_PARTS = {'backbone': 'module.0', 'neck': 'module.1'}
# Parameters that are not trained, under the same names here and there.
FROZEN = ('target_generator',)
SAVED = ('loss_weight', 'queue', 'queue_ptr', 'queue2', 'queue2_ptr')  # besides statistics
# What the reference saves of a memory; the rows and labels of ODC's it does not.
MEMORIES = {'NPID': ('bank', 'multinomial'), 'ODC': ('centroids',)}
MEMORY_PLACES = {'bank': 'feature_bank'}  # where it calls them otherwise
BANK = 'memory_bank.feature_bank'
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
    found = load_tree(
        _padded(weights, algorithm),
        {'params': params, 'state': state},
        functools.partial(reference_key, algorithm=algorithm),
        tuple(_aliases(algorithm).values()),
    )
    return found['params'], found['state']


def export_state(
    params: Params, state: State | None = None, *, algorithm: Algorithm | None = None
) -> dict[str, np.ndarray]:
    """Parameters (or their gradients) and state as the reference names and lays them out.

    Args:
      params: the parameters, or any tree like them, such as their gradients.
      state: the algorithm's state; what the reference does not save is left out.
      algorithm: whose they are; its type decides what a momentum network is called.
    """
    tree = {'params': params, 'state': state or {}}
    exported = save_tree(tree, functools.partial(reference_key, algorithm=algorithm))
    if BANK in exported:
        exported[BANK] = exported[BANK][: _images(algorithm)]
    for name, alias in _aliases(algorithm).items():
        again = {key: array for key, array in exported.items() if key.startswith(name)}
        exported |= {key.replace(name, alias, 1): array for key, array in again.items()}
    return exported


def reference_key(names: Sequence[str], algorithm: Algorithm | None = None) -> str | None:
    """The reference's name of a leaf of ``{'params': …, 'state': …}``, or None.

    ``('params', 'backbone', 'layer1.0', 'bn1', 'scale')`` -> ``'backbone.layer1.0.bn1.weight'``.
    """
    kind, *names = names
    if kind == 'state':
        place, *names = names[1:] if names[0] == 'memory' else names
        if place == 'teacher' and type(algorithm).__name__ in TARGETS:
            names = [TARGETS[type(algorithm).__name__], *_in_target(names)]
        elif place == 'teacher':  # CAE's, of the backbone alone
            if names[0] != 'params':
                return None
            names = [place, *names[2:]]
        elif place in MEMORIES.get(type(algorithm).__name__, ()):
            return '.'.join(['memory_bank', MEMORY_PLACES.get(place, place), *names])
        elif place in FROZEN:
            names = [place, *names]
        elif place != 'batch_stats':
            return place if place in SAVED else None
    return key_of(names)


def _padded(weights: StateDict, algorithm: Algorithm | None) -> StateDict:
    """The weights, a bank with the rows at its end that nothing uses."""
    if BANK not in weights or len(weights[BANK]) != _images(algorithm):
        return weights
    spare = -len(weights[BANK]) % MULTIPLE
    return {**weights, BANK: np.pad(weights[BANK], ((0, spare), (0, 0)))}


def _images(algorithm: Any) -> int | None:
    """How many images NPID has a row for; its bank is longer by up to 63 rows that nothing uses."""
    return algorithm.known_run.samples


def _aliases(algorithm: Algorithm | None) -> dict[str, str]:
    return ALIASES.get(type(algorithm).__name__, {})


def _in_target(names: list[str]) -> list[str]:
    """``['params', 'neck', 'fc0', 'bias']`` -> ``['module.1', 'fc0', 'bias']``; `steps` stays."""
    return names if len(names) == 1 else [TARGET_PARTS[names[1]], *names[2:]]
