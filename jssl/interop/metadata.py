"""What a file of weights says of itself: the network, how images are prepared, where it is from.

A .safetensors file keeps it in its header, a .npz file in the comment of the archive. All values
are texts; `backbone` and `eval_view` are sections of a config as JSON, and the classes that they
name are looked up in jssl alone.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.errors import JsslError
from jssl.paths import expanded

LAYOUT = 'layout'  # under which a file of ours in the names of others says whose
LARGEST_COMMENT = 65535  # bytes, of a zip archive
LENGTH = 8  # bytes at the begin of a .safetensors file that say how long its header is
LARGEST_HEADER = 100_000_000  # bytes, the format's own bound


def read_metadata(path: Path | str) -> dict[str, str]:
    """What the .safetensors or .npz file at `path` says of itself; empty where it says nothing.

    Raises:
      JsslError: there is no such file, or it is damaged.
    """
    path = expanded(path)
    if not os.path.isfile(path):
        raise JsslError(f'There is no file {str(path)!r}; give the path of one with weights.')
    try:
        found = json.loads(_text(path) or '{}')
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise JsslError(
            f'{path} could not be read as weights: {" ".join(str(error).split())}. Give a whole '
            '.safetensors or .npz file.'
        ) from error
    found = found.get('__metadata__', {}) if path.suffix.lower() == '.safetensors' else found
    texts = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in texts if isinstance(value, str)}


def parsed(metadata: Mapping[str, str], name: str, path: str) -> Any:
    """A section or a number of the metadata; None where the file at `path` does not say it.

    Raises:
      JsslError: it is no JSON.
    """
    if name not in metadata:
        return None
    try:
        return json.loads(metadata[name])
    except (ValueError, RecursionError) as error:
        raise JsslError(
            f'the metadata of {path} are damaged: {name!r} is {metadata[name]!r:.80}. Take the '
            'file anew from where it was written.'
        ) from error


def _text(path: Path) -> str:
    """The JSON that holds the metadata."""
    suffix = path.suffix.lower()
    if suffix == '.npz':
        with zipfile.ZipFile(path) as archive:
            return archive.comment.decode()
    if suffix != '.safetensors':
        return ''
    with path.open('rb') as file:
        length = int.from_bytes(file.read(LENGTH), 'little')
        if length > min(LARGEST_HEADER, path.stat().st_size):
            raise ValueError('its header is longer than the file')
        return file.read(length).decode()
