"""MMSelfSup's model dicts and weights, to and from jssl.

The modules of jssl carry the reference's names, so a parameter's key is the dotted path to it with
its last part renamed (`kernel` -> `weight`, `mean` -> `running_mean`), and its layout is a
transposition: convolutions (h, w, in, out) <-> (out, in, h, w), linear (in, out) <-> (out, in).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Algorithm, Params, State
from jssl.components import build
from jssl.errors import JsslError

LEAVES = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean', 'var': 'running_var'}
# What a model dict of the reference says that is no property of the model here: normalisation of
# the input belongs to the views, initial weights to checkpoints, and a plain or synchronised batch
# norm on one device is the same thing (`bn_group_size` is the other).
DROPPED = ('data_preprocessor', 'init_cfg', 'norm_cfg', 'conv_cfg', 'pretrained')
StateDict = Mapping[str, np.ndarray]


def build_model(model: Mapping[str, Any]) -> Algorithm:
    """The algorithm that a `model` dict of an MMSelfSup config describes.

    Raises:
      JsslError: for a component or field that jssl does not have.
    """
    return build('model', model_config(model))


def model_config(model: Mapping[str, Any]) -> dict[str, Any]:
    """A `model` dict of the reference in jssl's terms, with the same shape."""
    if 'type' not in model:
        raise JsslError(f"A model needs a 'type', as in dict(type='SimCLR', ...), not {model!r}.")
    config = {key: value for key, value in model.items() if key not in DROPPED}
    config['type'] = config['type'].rpartition('.')[2]  # 'mmcls.ResNet' -> 'ResNet'
    if config['type'].startswith('ResNet') and config.get('in_channels') == 3:
        del config['in_channels']  # ours reads it off the images
    loss = config.get('loss')
    if isinstance(loss, Mapping) and loss.get('type', '').rpartition('.')[2] == 'CrossEntropyLoss':
        del config['loss']  # the algorithm's own; only its weight is a setting
        if 'loss_weight' in loss:
            config['loss_weight'] = loss['loss_weight']
    for key, value in config.items():
        if isinstance(value, Mapping) and 'type' in value:
            config[key] = model_config(value)
    return config


def import_state(
    weights: StateDict, params: Params, state: State
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reference's weights in the place of `params` and of the batch statistics in `state`.

    Args:
      weights: the reference's `state_dict`, arrays by key.
      params: parameters of the same model, or their shapes (`jax.eval_shape` of `init`).
      state: the algorithm's state, or its shapes.

    Returns:
      Parameters and state with the reference's values, in the precision they came in.

    Raises:
      JsslError: names a key that is missing, has another shape, or has no place in the model.
    """
    unused = {key for key in weights if not key.endswith('num_batches_tracked')}

    def take(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        key = reference_key(path)
        if key not in weights:
            raise JsslError(
                f'The weights have no {key!r}; they belong to another model. Their keys start '
                f'with: {", ".join(sorted(weights)[:5])}.'
            )
        value = _from_reference(np.asarray(weights[key]))
        if value.shape != leaf.shape:
            raise JsslError(
                f'{key!r} has shape {np.shape(weights[key])} in the weights, where the model has '
                f'{_to_reference(np.empty(leaf.shape)).shape}; depth or widths differ.'
            )
        unused.discard(key)
        return jnp.asarray(value)

    trained = jax.tree.map_with_path(take, params)
    stats = jax.tree.map_with_path(take, state['batch_stats'])
    if unused:
        raise JsslError(
            f'{len(unused)} keys of the weights have no place in the model, for example '
            f'{", ".join(sorted(unused)[:3])}; they belong to another model.'
        )
    return trained, {**state, 'batch_stats': stats}


def export_state(*trees: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Trees of parameters, gradients or batch statistics as the reference names and lays them out.

    Args:
      trees: for example `params` and `state['batch_stats']`, or the gradients of `params`.
    """
    leaves = [leaf for tree in trees for leaf in jax.tree.leaves_with_path(tree)]
    return {reference_key(path): _to_reference(np.asarray(leaf)) for path, leaf in leaves}


def reference_key(path: tuple[Any, ...]) -> str:
    """``('backbone', 'layer1.0', 'bn1', 'scale')`` -> ``'backbone.layer1.0.bn1.weight'``."""
    names = [entry.key for entry in path]
    return '.'.join([*names[:-1], LEAVES.get(names[-1], names[-1])])


def _from_reference(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


def _to_reference(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 else array
