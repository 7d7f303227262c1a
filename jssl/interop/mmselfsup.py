"""MMSelfSup's models and weights, to and from jssl; `jssl.weights.names` has names and layouts."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jssl.algorithm import Algorithm, Params, State
from jssl.components import build
from jssl.errors import JsslError
from jssl.interop.model_dicts import class_of, model_config
from jssl.memories.bank import MULTIPLE
from jssl.reference import Hooks, reference_of
from jssl.weights.names import key_of, load_tree, save_tree

BANK = 'memory_bank.feature_bank'
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
    config, elsewhere = algorithm_config(model, hooks)
    for section, settings in elsewhere.items():
        report(f'A hook sets {section} of a config of jssl: {section}={settings}.')
    return build('model', config)


def algorithm_config(
    model: Mapping[str, Any], hooks: Sequence[Mapping[str, Any]], release: str = '1.x'
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The section `model` of a config of jssl, and what the hooks set in other sections.

    Args:
      model, hooks: as for `build_model`.
      release: that they are of: '0.x' or '1.x' of MMSelfSup, or 'mmpretrain'.
    """
    config, named = model_config(model, release), Hooks(hooks)
    asked = getattr(class_of(config['type']), 'hook_settings', None)
    settings = {} if asked is None else asked(named, config)
    named.finish(config['type'])
    return config | settings, named.elsewhere


def import_state(
    weights: StateDict, params: Params, state: State, *, algorithm: Algorithm | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reference's weights in the place of `params` and `state`.

    Args:
      weights: the reference's `state_dict`, arrays by key: of MMSelfSup 1.x, of before, or of
        MMPretrain.
      params: parameters of the same model, or their shapes (`jax.eval_shape` of `init`).
      state: the algorithm's state, or its shapes.
      algorithm: whose they are; it says what is saved of its state, and where.

    Returns:
      Parameters and state with the reference's values, floats in the precision they came in. What
      the reference does not save keeps its value, and is 0 where only its shape is given.

    Raises:
      JsslError: names a key that is missing, has another shape, or has no place in the model.
    """
    found = load_tree(
        _padded(_renamed(weights, algorithm), algorithm),
        {'params': params, 'state': state},
        functools.partial(reference_key, algorithm=algorithm),
        tuple(_twice(algorithm).values()),
    )
    return found['params'], found['state']


def export_state(
    params: Params, state: State | None = None, *, algorithm: Algorithm | None = None
) -> dict[str, np.ndarray]:
    """Parameters (or their gradients) and state as the reference names and lays them out.

    Args:
      params: the parameters, or any tree like them, such as their gradients.
      state: the algorithm's state; what the reference does not save is left out.
      algorithm: whose they are; it says what is saved of its state, and where.
    """
    tree = {'params': params, 'state': state or {}}
    exported = save_tree(tree, functools.partial(reference_key, algorithm=algorithm))
    if BANK in exported:
        exported[BANK] = exported[BANK][: _images(algorithm)]
    for name, other in _twice(algorithm).items():
        again = {key: array for key, array in exported.items() if key.startswith(name)}
        exported |= {key.replace(name, other, 1): array for key, array in again.items()}
    return exported


def reference_key(names: Sequence[str], algorithm: Algorithm | None = None) -> str | None:
    """The reference's name of a leaf of ``{'params': …, 'state': …}``, or None.

    ``('params', 'backbone', 'layer1.0', 'bn1', 'scale')`` -> ``'backbone.layer1.0.bn1.weight'``.
    """
    kind, *rest = names
    if kind == 'params' or rest[0] == 'batch_stats':
        return key_of(rest if kind == 'params' else rest[1:])
    for place, key in reference_of(algorithm).keys.items():
        parts = place.split('.')
        if rest[: len(parts)] == parts:
            return key_of([key, *rest[len(parts) :]])
    return None


def _renamed(weights: StateDict, algorithm: Algorithm | None) -> StateDict:
    """The weights by the names of MMSelfSup 1.x; a teacher that counted no steps has made none.

    Raises:
      JsslError: an array that was saved under two names differs.
    """
    reference = reference_of(algorithm)
    found: dict[str, np.ndarray] = {}
    for key, value in weights.items():
        start = next((start for start in reference.elsewhere if key.startswith(start)), '')
        name = reference.elsewhere.get(start, '') + key.removeprefix(start)
        if name in found and not np.array_equal(found[name], value):
            raise JsslError(
                f'{key!r} of the weights differs from {name!r}, which is the same array under '
                'another name. Take the checkpoint anew from where it was written.'
            )
        found[name] = value
    steps = reference.keys.get('teacher.steps')
    if steps is not None and found.keys() != weights.keys():
        found.setdefault(steps, np.zeros((), np.int64))
    return found


def _padded(weights: StateDict, algorithm: Algorithm | None) -> StateDict:
    """The weights, a bank with the rows at its end that nothing uses."""
    if BANK not in weights or len(weights[BANK]) != _images(algorithm):
        return weights
    spare = -len(weights[BANK]) % MULTIPLE
    return {**weights, BANK: np.pad(weights[BANK], ((0, spare), (0, 0)))}


def _images(algorithm: Any) -> int | None:
    """How many images NPID has a row for; its bank is longer by up to 63 rows that nothing uses."""
    return algorithm.known_run.samples


def _twice(algorithm: Algorithm | None) -> dict[str, str]:
    """How the keys begin of what the reference saves a second time -> how they do there."""
    parts = dataclasses.fields(algorithm) if algorithm is not None else ()
    return {
        f'{part.name}.{name}.': f'{part.name}.{other}.'
        for part in parts
        for name, other in reference_of(getattr(algorithm, part.name)).twice.items()
    }
