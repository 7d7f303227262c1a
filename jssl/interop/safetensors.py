"""Backbone weights in a file that torchvision, timm and MMSelfSup's users can read.

The names and layouts are the reference's, which for ResNets are torchvision's:
`torchvision.models.resnet50().load_state_dict(safetensors.torch.load_file(path), strict=False)`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jssl.algorithm import Params, State
from jssl.interop.mmselfsup import export_state
from jssl.interop.weights import read_weights, write_weights

PREFIX = 'backbone.'


def save_backbone(
    path: Path, params: Params, state: State, *, metadata: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Writes the backbone's parameters and batch statistics.

    Args:
      path: of the file, by custom `backbone.safetensors`.
      params: of the algorithm, with an entry `backbone`.
      state: of the algorithm, with `batch_stats`.
      metadata: what the file says of itself, such as the algorithm and the steps trained.

    Returns:
      What was written, arrays by name.
    """
    stats = {'backbone': state.get('batch_stats', {}).get('backbone', {})}
    weights = export_state({'backbone': params['backbone']}, {'batch_stats': stats})
    weights = {
        key.removeprefix(PREFIX): np.asarray(value, order='C') for key, value in weights.items()
    }
    write_weights(path, weights, metadata)
    return weights


def load_backbone(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a backbone file, by the reference's names with `backbone.` in front.

    Raises:
      JsslError: if there is no such file, or it is broken.
    """
    return {PREFIX + key: value for key, value in read_weights(path).items()}
