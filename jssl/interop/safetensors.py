"""Backbone weights in a file that torchvision, timm and MMSelfSup's users can read.

The names and layouts are the reference's, which for ResNets are torchvision's:
`torchvision.models.resnet50().load_state_dict(safetensors.torch.load_file(path), strict=False)`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jssl.algorithm import Params, State
from jssl.interop.mmselfsup import export_state, reference_key
from jssl.weights.files import read_weights, write_weights
from jssl.weights.stacked import unstack

PREFIX = 'backbone.'


def save_backbone(
    path: Path, params: Params, stats: State, *, metadata: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Writes the backbone's parameters and batch statistics.

    What the reference has no names for keeps its own, see `save_parameters`.

    Args:
      path: of the file, by custom `backbone.safetensors`.
      params: by part, with an entry `backbone`; of `Algorithm.kept`.
      stats: batch statistics by part.
      metadata: what the file says of itself, such as the algorithm and the steps trained.

    Returns:
      What was written, arrays by name.
    """
    weights = backbone_arrays(params, stats)
    write_weights(path, weights, metadata)
    return weights


def backbone_arrays(params: Params, stats: State) -> dict[str, np.ndarray]:
    """The backbone's parameters and batch statistics by the names that files have for them."""
    parts = params['backbone'], stats.get('backbone', {})
    if not has_reference_names(*parts):
        return own_names(parts[0]) | own_names(parts[1])
    named = export_state({'backbone': parts[0]}, {'batch_stats': {'backbone': parts[1]}})
    return {key.removeprefix(PREFIX): np.asarray(v, order='C') for key, v in named.items()}


def save_parameters(path: Path, params: Params, *, metadata: Mapping[str, str]) -> None:
    """Writes all parameters of an algorithm under their own names and in their own layouts."""
    write_weights(path, own_names(params), metadata)


def own_names(tree: Any) -> dict[str, np.ndarray]:
    """The leaves of any tree by the dotted path to each, such as ``Dense_0.kernel``."""
    leaves = jax.tree.leaves_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator='.') for path, _ in leaves]
    arrays = (np.asarray(leaf, order='C') for _, leaf in leaves)
    return {name or 'value': array for name, array in zip(names, arrays, strict=True)}


def has_backbone(params: Any) -> bool:
    """Whether an algorithm's parameters have a part called backbone."""
    return isinstance(params, Mapping) and 'backbone' in params


def has_reference_names(backbone: Any, stats: Any) -> bool:
    """Whether each array of a backbone, or its shape, has a name in the reference's scheme.

    A module of another house may hold more than dicts, or two arrays that would get one name, such
    as `kernel` and `scale`.
    """
    place = {'params': {'backbone': backbone}, 'state': {'batch_stats': {'backbone': stats}}}
    paths = [path for path, _ in jax.tree.leaves_with_path(unstack(place))]
    if not all(isinstance(entry, jax.tree_util.DictKey) for path in paths for entry in path):
        return False
    names = (tuple(entry.key for entry in path) for path in paths)
    return len({reference_key(name) for name in names}) == len(paths)


def load_backbone(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a backbone file, by the reference's names with `backbone.` in front.

    Raises:
      JsslError: if there is no such file, or it is broken.
    """
    return {PREFIX + key: value for key, value in read_weights(path).items()}
