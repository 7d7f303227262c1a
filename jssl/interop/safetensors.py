"""Backbone weights in a file that torchvision, timm and MMSelfSup's users can read.

The names and layouts are the reference's, which for ResNets are torchvision's:
`torchvision.models.resnet50().load_state_dict(safetensors.torch.load_file(path), strict=False)`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jssl.algorithm import Params, State
from jssl.errors import JsslError
from jssl.interop.mmselfsup import export_state

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
    from safetensors.numpy import save

    stats = {'backbone': state.get('batch_stats', {}).get('backbone', {})}
    weights = export_state({'backbone': params['backbone']}, {'batch_stats': stats})
    weights = {
        key.removeprefix(PREFIX): np.ascontiguousarray(value) for key, value in weights.items()
    }
    part = path.with_name(f'{path.name}.part')
    part.write_bytes(save(weights, metadata=dict(metadata)))
    part.replace(path)  # a run that dies here leaves the former file whole
    return weights


def load_backbone(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a backbone file, by the reference's names with `backbone.` in front.

    Raises:
      JsslError: if there is no such file, or it is not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {PREFIX + key: value for key, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise JsslError(
            f'{path} could not be read as backbone weights: {error}. Runs of jssl write them as '
            'backbone.safetensors.'
        ) from error
