"""Arrays by name, from files that hold arrays and nothing that could be run."""

import zipfile
from pathlib import Path

import numpy as np

from jssl.errors import JsslError

READABLE = ('.safetensors', '.npz')


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors or .npz file, by name.

    Raises:
      JsslError: if there is no such file, it is of another kind or broken; says how to convert one
        of PyTorch.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(path)
    if path.suffix not in READABLE:
        raise JsslError(
            f'{path} may hold a pickle, which jssl does not read; convert it once with python -m '
            f'jssl.interop.convert {path} {path.with_suffix(".safetensors")}'
        )
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, SafetensorError, zipfile.BadZipFile) as error:
        raise JsslError(
            f'{path} could not be read as weights: {error}. Give a whole .safetensors or .npz file.'
        ) from error
