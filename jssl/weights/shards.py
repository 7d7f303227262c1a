"""Weights in several files that an index beside them lists, as Hugging Face writes large ones."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jssl.weights.unread import Unread

INDEX = '.safetensors.index.json'  # how the names of indices end
LARGEST = 64 << 20  # bytes of an index


def open_shards(path: Path, opened: Callable[[Path], Mapping[str, Unread]]) -> dict[str, Unread]:
    """The arrays of all files that the index at `path` lists.

    Args:
      path: of the index, whose files lie in the same folder.
      opened: gives those of one of them.

    Raises:
      ValueError: it is no index, names a file elsewhere, or an array that its file does not hold.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f'an index has less than {LARGEST} bytes')
    places = _places(json.loads(path.read_text(encoding='utf-8')))
    arrays: dict[str, Unread] = {}
    for name in sorted(set(places.values())):
        found = opened(path.with_name(name))
        wanted = [key for key, file in places.items() if file == name]
        lacking = [key for key in wanted if key not in found]
        if lacking:
            raise ValueError(f'{name!r} lacks {len(lacking)} arrays of it, such as {lacking[0]!r}')
        arrays |= {key: found[key] for key in wanted}
    return arrays


def _places(index: Any) -> dict[str, str]:
    """The name of the file that holds each array."""
    places = index.get('weight_map') if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise ValueError('it has no weight_map of arrays and files')
    for name in places.values():
        plain = isinstance(name, str) and name.endswith('.safetensors') and '\0' not in name
        if not plain or os.path.basename(name) != name:
            raise ValueError(f'its weight_map names {name!r}, which is no .safetensors beside it')
    return places
