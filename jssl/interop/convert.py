"""A PyTorch checkpoint as a file that jssl reads without PyTorch.

    python -m jssl.interop.convert dalle_encoder.pth weights/dalle_encoder.safetensors

Only tensors are read, never code: a file that holds more than that is refused. Needs PyTorch here
and nowhere else.
"""

import pickle
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jssl.errors import JsslError

CONTAINERS = ('state_dict', 'model')  # under which a checkpoint keeps its weights


def convert(source: Path, target: Path) -> int:
    """Writes the tensors of `source` to `target`.

    Args:
      source: .pth, .pt or .pkl, a dict of tensors, or one with such a dict as `state_dict` or
        `model`.
      target: .safetensors; its folder is made.

    Returns:
      How many there were.

    Raises:
      JsslError: if PyTorch is not installed, or `source` is not such a file.
    """
    from safetensors.numpy import save

    if target.suffix != '.safetensors':
        raise JsslError(f'{target} must end in .safetensors, which is what is written.')
    arrays = to_arrays(_load(source))
    if not arrays:
        raise JsslError(f'{source} holds no tensors; give the file of the weights themselves.')
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.name}.part')
    part.write_bytes(save(arrays))
    part.replace(target)  # a conversion that dies here leaves no half file
    return len(arrays)


def to_arrays(checkpoint: Any) -> dict[str, np.ndarray]:
    """The tensors of a loaded checkpoint as arrays by name; bfloat16 becomes float32."""
    for container in CONTAINERS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(container), Mapping):
            checkpoint = checkpoint[container]
    entries = checkpoint.items() if isinstance(checkpoint, Mapping) else ()
    return {key: _to_array(value) for key, value in entries if hasattr(value, 'detach')}


def _to_array(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if str(tensor.dtype) == 'torch.bfloat16' else tensor
    return np.ascontiguousarray(tensor.numpy())


def _load(source: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise JsslError(
            "Reading a checkpoint of PyTorch needs PyTorch: pip install 'jssl[torch]'. The "
            'converted file can be read without it.'
        ) from None
    try:
        return torch.load(source, map_location='cpu', weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else 'it is empty'
        raise JsslError(
            f'{source} could not be read as tensors alone: {reason} A file with code in it (a '
            'pickled module, a TorchScript archive) is not read; take one with a state_dict.'
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Converts the first argument into the second; the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 2 or any(argument.startswith('-') for argument in arguments):
        print(__doc__)
        return 0 if arguments in (['-h'], ['--help']) else 2
    source, target = map(Path, arguments)
    try:
        print(f'{target}: {convert(source, target)} tensors')
    except JsslError as error:
        print(f'jssl: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
