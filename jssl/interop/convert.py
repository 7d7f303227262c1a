"""A PyTorch checkpoint as a file that jssl reads without PyTorch: what `jssl import` does.

Only tensors are read, never code: a file that holds more than that is refused. Needs PyTorch here
and nowhere else.
"""

import argparse
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.weights.files import WANTED, brief, check_finite, check_kind, write_weights
from jssl.weights.npz import check_size

ARCHIVE = b'PK\x03\x04'  # how a checkpoint begins that is a zip archive
CONTAINERS = ('state_dict', 'model')  # under which a checkpoint keeps its weights
DEPTH = 4  # of dicts in dicts that are looked into
# Under which those of DINO, iBOT, DINOv2 and I-JEPA keep those of several networks.
PARTS = ('teacher', 'student', 'target_encoder', 'encoder', 'predictor')


def convert(source: Path, target: Path) -> int:
    """Writes the tensors of `source` to `target`.

    Args:
      source: .pth, .pt or .pkl, a dict of tensors, or one with such a dict as `state_dict` or
        `model`, or under other names, which then stand before those of the tensors.
      target: .safetensors; its folder is made.

    Returns:
      How many there were.

    Raises:
      JsslError: if PyTorch is not installed, or `source` is not such a file.
    """
    if target.suffix != '.safetensors':
        raise JsslError(f'{target} must end in .safetensors, which is what is written.')
    arrays = read_checkpoint(source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_weights(target, arrays)
    except (OSError, ValueError) as error:
        raise JsslError(
            f'{str(target)!r} could not be written: {brief(error)}. Name a file in a folder of '
            'your own.'
        ) from error
    return len(arrays)


def read_checkpoint(source: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint of PyTorch; see `convert`.

    Raises:
      JsslError: PyTorch is not installed, or `source` is no such file.
    """
    checkpoint = _load(source)
    try:
        tensors = _tensors(checkpoint)
        check_size(source, sum(value.numel() * value.element_size() for value in tensors.values()))
        arrays = {name: _array(name, value) for name, value in tensors.items()}
        check_finite(arrays)
    except ValueError as error:
        raise JsslError(f'{source} could not be converted: {brief(error)}.') from error
    if not arrays:
        raise JsslError(f'{source} holds no tensors; give the file of the weights themselves.')
    return arrays


def _tensors(checkpoint: Any) -> dict[str, Any]:
    for container in CONTAINERS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(container), Mapping):
            checkpoint = checkpoint[container]
    entries: list[tuple[Any, Any]] = []
    if isinstance(checkpoint, Mapping):
        entries = list(checkpoint.items())
    found = {key: part for key, part in entries if key in PARTS}
    if found and all(isinstance(part, Mapping) for part in found.values()):
        entries = [(f'{part}.{key}', found[part][key]) for part in found for key in found[part]]
    if not any(hasattr(value, 'detach') and value.ndim for _, value in entries):
        entries = [pair for key, part in entries for pair in _within(key, part)]
    return {_name(key): _plain(key, value) for key, value in entries if hasattr(value, 'detach')}


def _within(before: Any, part: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """What lies in dicts of dicts, by all names on the way; an optimizer's numbers are none."""
    if not isinstance(part, Mapping):
        yield before, part
    elif isinstance(before, str) and depth < DEPTH:
        for key, value in part.items():
            if isinstance(key, str):
                yield from _within(f'{before}.{key}', value, depth + 1)


def _name(key: Any) -> str:
    if not isinstance(key, str) or key == '__metadata__':
        raise ValueError(f'it holds a tensor under {key!r}, which is no name of a weight')
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f'it holds a tensor under {key!r}, which is no text') from None
    return key


def _plain(name: str, tensor: Any) -> Any:
    """The tensor, if it has a place in memory for each of its values."""
    if tensor.is_meta:
        what = 'a tensor without values (of the device meta)'
    elif tensor.is_nested or str(tensor.layout) != 'torch.strided':
        what = f'sparse or nested ({tensor.layout})'
    elif tensor.is_quantized:
        what = f'quantised ({tensor.dtype})'
    elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        what = f'a few values repeated to the shape {tuple(tensor.shape)}'
    else:
        return tensor.detach()
    raise ValueError(f'{name!r} is {what}, and not an array of values')


def _array(name: str, tensor: Any) -> np.ndarray:
    """The values, with bfloat16 widened to float32."""
    tensor = tensor.float() if str(tensor.dtype) == 'torch.bfloat16' else tensor
    try:
        array = tensor.numpy()
    except (TypeError, RuntimeError) as error:  # a type that NumPy does not have
        raise ValueError(f'{name!r} is of type {tensor.dtype}, and weights are {WANTED}') from error
    check_kind(name, array.dtype, array.size)
    return np.asarray(array, order='C')


def _load(source: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise JsslError(
            "Reading a checkpoint of PyTorch needs PyTorch: pip install 'jssl[torch]'. The "
            'converted file can be read without it.'
        ) from None
    if not os.path.isfile(source):
        raise JsslError(f'There is no file {str(source)!r}; give the path of a checkpoint.')
    try:
        _check_archive(source)
    except Exception as error:  # whatever damaged bytes lead to
        raise JsslError(
            f'{source} could not be read: {str(error).rstrip(".")}. Copy or download it again.'
        ) from error
    try:
        # Many keep their options beside the weights in one of these, which is a dict in effect.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(source, map_location='cpu', weights_only=True)
    except Exception as error:  # its text advises to run what is in the file
        raise JsslError(
            f'{source} could not be read: it is no checkpoint of PyTorch that holds tensors alone, '
            'but another kind of file, a damaged one, or one with code in it (a pickled module, a '
            'TorchScript archive), which is not run. Give one that was written by '
            'torch.save(model.state_dict(), path), or copy it again.'
        ) from error


def _check_archive(source: Path) -> None:
    """Compares the checksums of a checkpoint, at which PyTorch does not look.

    Checkpoints of before PyTorch 1.6 are no archives, and have none.

    Raises:
      ValueError: an entry is damaged, or far larger than the file.
    """
    with source.open('rb') as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return
    with zipfile.ZipFile(source) as archive:
        check_size(source, sum(entry.file_size for entry in archive.infolist()))
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f'its entry {damaged!r} is damaged.')
